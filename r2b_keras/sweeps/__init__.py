"""Sweeps: many trials of one stage, to choose its settings by validation accuracy.

Commands import the modules that they need; those that need TensorFlow and Keras Tuner
import them.
"""
