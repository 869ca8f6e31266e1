"""to be written"""

RECIPES = ()
