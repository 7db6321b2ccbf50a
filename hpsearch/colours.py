"""The colours of pages, light and dark.

Source: Okabe and Ito's palette, which the colour-blind tell apart, too.
"""

from __future__ import annotations

__all__ = ["COLOURS", "variables"]

#: Theme -> what a colour is for -> the colour.
COLOURS: dict[str, dict[str, str]] = {
    "light": {
        "background": "#ffffff",
        "page": "#f5f7fa",
        "edge": "#c3cbd6",
        "text": "#1c2430",
        "muted": "#5b6675",
        "grid": "#e4e8ee",
        "panel": "#ffffff",
        "accent": "#0072b2",
        "soft": "rgba(0,114,178,0.16)",
        "second": "#b34d00",
        "good": "#00795a",
        "bad": "#b5179e",
        "ghost": "rgba(91,102,117,0.35)",
    },
    "dark": {
        "background": "#1b212b",
        "page": "#12161d",
        "edge": "#46525f",
        "text": "#e6ebf2",
        "muted": "#9aa7b8",
        "grid": "#2a323e",
        "panel": "#1b212b",
        "accent": "#56b4e9",
        "soft": "rgba(86,180,233,0.20)",
        "second": "#f0a030",
        "good": "#35c79a",
        "bad": "#f286d8",
        "ghost": "rgba(154,167,184,0.35)",
    },
}


def variables(theme: str) -> str:
    """The declarations of CSS by which a sheet knows them, such as `--accent`."""
    return "".join(f"--{name}:{colour};" for name, colour in COLOURS[theme].items())
