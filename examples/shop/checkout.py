"""The front of the shop, process ``web-1``: one checkout, from reserving to charging."""

from __future__ import annotations

import json
import logging
import multiprocessing
import subprocess
import sys
import urllib.error
import urllib.request

from distlog import Task, task, to

from . import HEADER, log_to_daemon, stock

log = logging.getLogger("shop.checkout")


class PaymentRefused(Exception):
    """The bank said no."""


def reserve(sku: str, count: int) -> None:
    """Reserve goods in a process of its own, started by spawn."""
    with to("reserve stock", sku=sku, count=count) as goal:
        worker = multiprocessing.get_context("spawn").Process(
            name="stock-1", target=stock.put_aside, args=(goal.get_foreign_task(), sku, count)
        )
        worker.start()
        worker.join()
        log.info("stock answered", extra={"exitcode": worker.exitcode})


def charge(pay_url: str, cart: int, amount: float) -> None:
    """Ask the payment service, which learns the goal's id from a header."""
    with to("charge card", amount=amount) as goal:
        request = urllib.request.Request(
            f"{pay_url}/charge",
            data=json.dumps({"cart": cart, "amount": amount}).encode(),
            headers={"Content-Type": "application/json", HEADER: goal.get_foreign_task()},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                log.info("paid", extra={"status": answer.status})
        except urllib.error.HTTPError as refusal:
            log.warning("payment service answered %d", refusal.code)
            raise PaymentRefused(refusal.read().decode()) from None


def tell_customer(goal: Task, cart: int) -> None:
    """Send mail from a plain subprocess; the id travels on its command line."""
    command = [sys.executable, "-m", "shop", "mail", goal.get_foreign_task(), str(cart)]
    subprocess.run(command, check=True, timeout=20)


def checkout(pay_url: str, cart: int) -> None:
    """Sell one cart."""
    with task("checkout cart %s", cart, user=42) as goal:
        log.info("cart has %d items", 3, extra={"items": ["A-17", "A-17", "C-4"]})
        reserve("A-17", 2)
        try:
            charge(pay_url, cart, 19.90)
        except PaymentRefused:
            tell_customer(goal, cart)
            raise


def main() -> int:
    """Start the payment service, sell one cart, stop the service."""
    log_to_daemon("web-1")
    pay = subprocess.Popen([sys.executable, "-m", "shop", "pay"], stdout=subprocess.PIPE, text=True)
    try:
        assert pay.stdout is not None
        checkout(pay.stdout.readline().strip(), cart=991)
    except PaymentRefused as refusal:
        print(f"checkout failed: {refusal}", file=sys.stderr)
        return 1
    finally:
        pay.terminate()
        pay.wait(10)
    return 0
