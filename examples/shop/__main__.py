"""``python -m shop`` sells one cart; ``python -m shop pay`` and ``python -m shop mail ID CART`` are its other programs."""

from __future__ import annotations

import sys

from . import checkout, mail, pay

PROGRAMS = {"checkout": checkout.main, "pay": pay.main, "mail": mail.main}

# A process that multiprocessing spawns imports this file under another name, and must not sell the cart again.
if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1] if sys.argv[1:] else "checkout"]())
