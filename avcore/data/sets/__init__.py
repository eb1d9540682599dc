"""Data sets: `clips` reads, checks and batches all of them; each has one short indexer beside it.

`files`    the files of a clip as arrays, and all that may be wrong with them
`video`    frames of a stretch of a video
`table`    files that list the clips of a data set
`avsbench` AVSBench, settings S4 and MS3
`folder`   a folder of pictures or videos with sound
`music`    MUSIC, solos and duets; `collage` makes MUSIC-Synthetic of solos
`vggsound` VGGSound
`voxceleb` VoxCeleb 1 and 2; `mixtures` puts two of its voices together
`ucf101`   UCF-101
`shares`   halves, moments and held-out parts of data sets that no list names
"""
