"""From a picture to the names of what it shows, with NumPy and Pillow alone.

Everything but the network itself: its model card, the picture as it is to see it, and
what its scores mean. `r2b_keras.board` is this folder too, so that training, evaluation
and a board see the same picture.
"""
