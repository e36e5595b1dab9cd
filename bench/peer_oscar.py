"""django-oscar's offer applicator on the benchmark's basket, in process, with an in-memory database."""

from __future__ import annotations

import time
import warnings
from decimal import Decimal
from typing import Any

from bench.kernels_pricing import LINES, UNITS, price_minor
from bench.measure import Skipped


class OscarShop:
    """Ten products, ten site offers (10 % off, or one of three free), and a basket of ten lines of three."""

    def __init__(self) -> None:
        warnings.simplefilter("ignore")  # Django's and its dependencies' deprecations are not ours to mend
        try:
            import django
            from django.conf import settings
            from oscar.defaults import __dict__ as defaults
        except ImportError as error:
            raise Skipped(f"django-oscar is missing ({error}): pip install 'ringup[bench]'") from error
        settings.configure(
            **{name: value for name, value in defaults.items() if name.startswith("OSCAR")},
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            INSTALLED_APPS=[
                *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sites"),
                *("django.contrib.flatpages", "django.contrib.sessions", "oscar.config.Shop"),
                *(f"oscar.apps.{name}" for name in APPS),
                *("widget_tweaks", "treebeard", "django_tables2", "haystack"),
            ],
            HAYSTACK_CONNECTIONS={"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
            SITE_ID=1,
            SECRET_KEY="benchmark",
            USE_TZ=True,
            DEFAULT_AUTO_FIELD="django.db.models.AutoField",
            ROOT_URLCONF="oscar.urls",
        )
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0, run_syncdb=True)
        self.basket = self._fill()

    def _fill(self) -> Any:
        from oscar.apps.partner.strategy import Default
        from oscar.core.loading import get_model
        from oscar.test.factories import create_product

        model = {name: get_model("offer", name) for name in ("Range", "Condition", "Benefit", "ConditionalOffer")}
        basket = get_model("basket", "Basket").objects.create()
        basket.strategy = Default()
        for line in range(LINES):
            product = create_product(price=Decimal(price_minor(line)) / 100, num_in_stock=1000)
            goods = model["Range"].objects.create(name=f"range {line}")
            goods.add_product(product)
            multibuy = line % 2 == 1
            model["ConditionalOffer"].objects.create(
                name=f"offer {line}",
                offer_type="Site",
                priority=LINES - line,
                condition=model["Condition"].objects.create(range=goods, type="Count", value=UNITS if multibuy else 1),
                benefit=model["Benefit"].objects.create(
                    range=goods, type="Multibuy" if multibuy else "Percentage", value=1 if multibuy else 10
                ),
            )
            basket.add_product(product, quantity=UNITS)
        return basket

    def price(self) -> int:
        """Apply all offers to the basket from the start; returns the total in minor units."""
        from oscar.apps.offer.applicator import Applicator

        self.basket.reset_offer_applications()
        Applicator().apply(self.basket)
        return int(self.basket.total_excl_tax * 100)

    def seconds_per_price(self, times: int) -> tuple[float, int]:
        began = time.perf_counter()
        total = 0
        for _ in range(times):
            total = self.price()
        return (time.perf_counter() - began) / times, total


APPS = (
    *("analytics.apps.AnalyticsConfig", "checkout.apps.CheckoutConfig", "address.apps.AddressConfig"),
    *(
        "shipping.apps.ShippingConfig",
        "catalogue.apps.CatalogueConfig",
        "catalogue.reviews.apps.CatalogueReviewsConfig",
    ),
    *("communication.apps.CommunicationConfig", "partner.apps.PartnerConfig", "basket.apps.BasketConfig"),
    *("payment.apps.PaymentConfig", "offer.apps.OfferConfig", "order.apps.OrderConfig"),
    *("customer.apps.CustomerConfig", "search.apps.SearchConfig", "voucher.apps.VoucherConfig"),
    *(
        "wishlists.apps.WishlistsConfig",
        "dashboard.apps.DashboardConfig",
        "dashboard.reports.apps.ReportsDashboardConfig",
    ),
    *("dashboard.users.apps.UsersDashboardConfig", "dashboard.orders.apps.OrdersDashboardConfig"),
    *("dashboard.catalogue.apps.CatalogueDashboardConfig", "dashboard.offers.apps.OffersDashboardConfig"),
    *("dashboard.partners.apps.PartnersDashboardConfig", "dashboard.pages.apps.PagesDashboardConfig"),
    *("dashboard.ranges.apps.RangesDashboardConfig", "dashboard.reviews.apps.ReviewsDashboardConfig"),
    *("dashboard.vouchers.apps.VouchersDashboardConfig", "dashboard.shipping.apps.ShippingDashboardConfig"),
    *("dashboard.communications.apps.CommunicationsDashboardConfig",),
)
