"""Models of the user's own: functions `build(hp)` and KerasTuner's `HyperModel`.

`found` is plain; the others import KerasTuner, and with it TensorFlow.
"""
