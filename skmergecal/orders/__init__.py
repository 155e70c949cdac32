"""Orders in which classifiers are merged, calibrated and tuned: made by name, and compared."""

from skmergecal.orders._compare import compare_fit_orders
from skmergecal.orders._fit_orders import fit_orders

__all__ = ["compare_fit_orders", "fit_orders"]
