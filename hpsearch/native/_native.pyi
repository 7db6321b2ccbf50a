from typing import Any

class Network:
    def __init__(
        self,
        instructions: str,
        features: int,
        layers: tuple[tuple[float, ...], ...],
        codes: tuple[int, int, int, int, int],
        numbers: tuple[float, ...],
        shift: Any,
        scale: Any,
        unit: Any,
        /,
    ) -> None: ...
    iterations: int
    learning_rate: float
    threads: int
    def set(self, layer: int, part: int, which: int, array: Any, /) -> None: ...
    def get(self, layer: int, part: int, which: int, array: Any, /) -> None: ...
    def train(
        self, x: Any, y: Any, order: Any, weights: Any = None, outputs: Any = None, /
    ) -> tuple[float, float]: ...
    def evaluate(
        self, x: Any, y: Any, weights: Any = None, outputs: Any = None, /
    ) -> tuple[float, float]: ...

def random(distribution: int, seed: int, out: Any, /) -> None: ...
def activation(instructions: str, kind: int, z: Any, out: Any, slope: Any, /) -> None: ...
def instruction_sets() -> list[str]: ...
