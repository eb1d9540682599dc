"""Which kind of object sounds, and where: what CSOL and IEr have in common.

`scenes`       what both learn from and are measured on, as a frozen eye sees it
`network`      the small network that both begin with
`dictionary`   what objects look like, by cluster, found without any label
`solos`        stage one: learning from single sources, and the class of each cluster
`evaluation`   solo and class-aware localisation, and what never listens
`lessons`      what the chapters do with scenes that the experiments of the claims do not
`videos`       real solos and mixtures in place of scenes
`phases`       stage one as phases of a task
"""
