"""Pictures, players, charts and tables that work in a live notebook and in a page without one.

Every function gives a view that a notebook shows when a cell ends in it. In a live Jupyter kernel
it may be a widget; with AVCORE_STATIC=1 (or AVCORE_VIZ=static) it is HTML that needs no kernel.
Figures in such a page are drawn by the Plotly that the page loads; players and tables need none.
"""

from avcore.viz.block import volume_block
from avcore.viz.charts import bars, training_curves
from avcore.viz.diagrams import diagram
from avcore.viz.explore import explore
from avcore.viz.figure import Figure, figure
from avcore.viz.gallery import gallery
from avcore.viz.grid import map_grid, tinted
from avcore.viz.heatmaps import heatmaps
from avcore.viz.modes import mode
from avcore.viz.player import audio_player, clip_player, scene_player
from avcore.viz.prompts import prompt_maps
from avcore.viz.scoreboard import claim_card, claim_summary, claim_table, noise_table
from avcore.viz.sound import spectrogram, waveform_plot
from avcore.viz.sounds import Name, sound_grid
from avcore.viz.tables import results_table, values_table
from avcore.viz.view import Html, View
from avcore.viz.words import Words, missing, outcome, run_notice, source_code, verdict

__all__ = [
    "Figure",
    "Html",
    "Name",
    "View",
    "Words",
    "audio_player",
    "bars",
    "claim_card",
    "claim_summary",
    "claim_table",
    "clip_player",
    "diagram",
    "explore",
    "figure",
    "gallery",
    "heatmaps",
    "map_grid",
    "missing",
    "mode",
    "noise_table",
    "outcome",
    "prompt_maps",
    "results_table",
    "run_notice",
    "scene_player",
    "sound_grid",
    "source_code",
    "spectrogram",
    "tinted",
    "training_curves",
    "values_table",
    "verdict",
    "volume_block",
    "waveform_plot",
]
