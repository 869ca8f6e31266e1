"""Reports: one page about a run, with its pictures.

`r2b_keras.report` is the command. `page` puts the page together and renders
`page.html`, which has all words that do not depend on a run; every other module works
out one section of it: its numbers, its sentences and its pictures.
"""
