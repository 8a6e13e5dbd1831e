"""The simulated beverage maker: its products, territories, warehouses, dealers and their outlets."""

from __future__ import annotations

from random import Random

from msgspec import Struct

#: English and Chinese name of each region and its cities.
REGIONS = {
    "E": ("East China 華東", ("Shanghai 上海", "Hangzhou 杭州", "Nanjing 南京", "Suzhou 蘇州")),
    "S": ("South China 華南", ("Guangzhou 廣州", "Shenzhen 深圳", "Xiamen 廈門", "Hong Kong 香港")),
    "N": ("North China 華北", ("Beijing 北京", "Tianjin 天津", "Jinan 濟南", "Taiyuan 太原")),
    "W": ("West China 西部", ("Chengdu 成都", "Chongqing 重慶", "Xi'an 西安", "Kunming 昆明")),
    "C": ("Central China 華中", ("Wuhan 武漢", "Changsha 長沙", "Zhengzhou 鄭州")),
}
#: Category, Chinese, crate, litres in a case, price and cost in cents, shelf life in days.
CATEGORIES = (
    ("water", "水", None, "12", 2400, 1300, 540),
    ("cola", "可樂", None, "7.92", 4800, 3100, 270),
    ("tea", "茶", None, "7.5", 4200, 2500, 300),
    ("juice", "果汁", None, "6", 6600, 4300, 240),
    ("beer", "啤酒", "CRATE-24", "7.92", 7200, 4700, 180),
    ("soda", "蘇打水", "KEG-20L", "20", 5600, 3300, 365),
)
FLAVOURS = ("Classic 經典", "Light 清爽", "Lemon 檸檬", "Peach 蜜桃", "Ginger 生薑", "Jasmine 茉莉")
_WORDS = (
    *("Harbour 港灣", "Golden River 金河", "Evergreen 長青", "Lucky Star 福星", "East Wind 東風"),
    *("Three Peaks 三峰", "Clear Spring 清泉", "New Century 新世紀", "Morning Bell 晨鐘", "Great Wall 長城"),
)
OUTLET_CLASSES = {
    "hypermarket": "大賣場",
    "super_b": "超市",
    "super_c": "便利店",
    "small": "小賣店",
    "horeca": "酒樓",
}
WAREHOUSES = {"E": "WH-EAST", "S": "WH-SOUTH", "N": "WH-NORTH", "W": "WH-WEST", "C": "WH-EAST"}
STORES = ("WH-EAST", "WH-NORTH", "WH-SOUTH", "WH-WEST")
#: Ids as other systems really have them.
_ODD_IDS = {7: "渠道-7", 11: "SH/0011", 23: "Dépôt 23"}


class Sku(Struct, frozen=True):
    """A product; money in cents."""

    id: str
    name: str
    category: str
    crate: str | None
    volume: str
    price: int
    cost: int
    shelf_life_days: int
    has_lots: bool
    weight: float


class Dealer(Struct):
    """A dealer; `weight` is its part of all orders, and 0 once it has left."""

    id: str
    name: str
    city: str
    region: str
    currency: str
    location: str
    warehouse: str
    erp: str
    rep: str
    outlets: list[str]
    weight: float


def products() -> list[Sku]:
    """A few dozen products, some in crates and some without lots."""
    return [
        Sku(
            id=f"{category.upper()}-{number}",
            name=f"{_two(flavour)[0]} {category} {_two(flavour)[1]}{zh}",
            category=category,
            crate=crate,
            volume=volume,
            price=price + 150 * number,
            cost=cost + 90 * number,
            shelf_life_days=days,
            has_lots=category != "soda",
            weight=1 / (1 + (number * 5 + place) % 11),
        )
        for place, (category, zh, crate, volume, price, cost, days) in enumerate(CATEGORIES)
        for number, flavour in enumerate(FLAVOURS)
    ]


def dealers(rng: Random, count: int) -> list[Dealer]:
    """Dealers all over the country, few of them large."""
    cities = [
        (f"T-{region}{number}", region, *_two(city))
        for region, (_, names) in REGIONS.items()
        for number, city in enumerate(names)
    ]
    made = []
    for number in range(count):
        territory, region, city, zh = cities[number % len(cities)]
        word, zh_word = _two(_WORDS[(number // len(cities) + number) % len(_WORDS)])
        identity = _ODD_IDS.get(number, f"D-{number:04d}")
        made.append(
            Dealer(
                id=identity,
                name=f"{city} {word} Beverages {zh}{zh_word}飲品",
                city=territory,
                region=region,
                currency="HKD" if city == "Hong Kong" else "USD" if number % 41 == 40 else "CNY",
                location=identity,
                warehouse=WAREHOUSES[region],
                erp="erp.south" if region in "SW" else "erp.north",
                rep=f"R-{territory[2:]}",
                outlets=[f"O-{number:04d}-{n}" for n in range(rng.randrange(1, 6))],
                weight=0.3 + rng.paretovariate(2.2),
            )
        )
    return made


def _two(name: str) -> tuple[str, str]:
    """The English and the Chinese part of a name."""
    english, _, chinese = name.rpartition(" ")
    return english, chinese
