"""avcore: the small audio-visual learning library behind the book *Seeing Sound*."""

__version__ = "0.1.0"
