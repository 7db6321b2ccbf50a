"""A program of yours: it tries to fit a parabola's lowest point by gradient descent.

It needs nothing of hpsearch: it takes its settings as arguments, and prints what it has reached.
"""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.1)
parser.add_argument("--momentum", type=float, default=0.0)
parser.add_argument("--steps", type=int, default=20)
settings = parser.parse_args()

x, velocity = 5.0, 0.0
for step in range(1, settings.steps + 1):
    velocity = settings.momentum * velocity - settings.learning_rate * 2 * (x - 1)
    x += velocity
    print(f"step {step} - loss: {(x - 1) ** 2:.6f}")
