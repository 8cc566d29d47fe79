"""The page on which somebody "pays", in Chinese or English, for phones first. Plain HTML and forms: no script at all.

Everything shown is escaped; the style is allowed by a nonce, and nothing else is.
"""

from __future__ import annotations

from html import escape
from typing import Final, Literal

from streamd.sandbox_gateway.ledger import Charge

Language = Literal["zh", "en"]

# Minor units that are not hundredths.
_DIGITS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "KWD": 3, "BHD": 3}
_SIGNS: Final = {"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$"}

_WORDS: Final[dict[str, dict[Language, str]]] = {
    "title": {"zh": "沙箱收银台", "en": "Sandbox checkout"},
    "badge": {"zh": "测试环境 · 不会真实扣款", "en": "Test mode · no real money moves"},
    "number": {"zh": "支付单号", "en": "Reference"},
    "pay": {"zh": "确认支付", "en": "Pay"},
    "others": {"zh": "模拟其他情况", "en": "Try what can go wrong"},
    "fail": {"zh": "支付失败", "en": "Fail"},
    "fail_hint": {"zh": "银行拒绝，此单关闭", "en": "The bank refuses; this payment is closed"},
    "late": {"zh": "延迟到账", "en": "Pay late"},
    "late_hint": {"zh": "订单过期后才到账，应自动退款", "en": "Money arrives after the order expired and must go back"},
    "twice": {"zh": "重复通知", "en": "Pay twice"},
    "twice_hint": {"zh": "支付一次，通知商家两次", "en": "Paid once, announced twice"},
    "is_paid": {"zh": "支付成功", "en": "Paid"},
    "is_closed": {"zh": "支付失败", "en": "Not paid"},
    "is_late": {"zh": "银行处理中，稍后到账", "en": "Your bank takes its time"},
    "back": {"zh": "返回商家", "en": "Back to the shop"},
    "missing": {"zh": "没有这笔支付", "en": "There is no such payment"},
    "missing_hint": {
        "zh": "沙箱只把账目放在内存里，重启后旧链接失效。请回到商家重新下单。",
        "en": "The sandbox keeps its books in memory: after a restart old links are void. Order again in the shop.",
    },
}

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#16181d;--soft:#6b7280;--card:#fff;--back:#eef1f5;--line:#e3e7ed;
--go:#06753f;--go-back:#06753f;--no:#c8382f}
@media(prefers-color-scheme:dark){:root{--ink:#f2f4f7;--soft:#9aa3b2;--card:#1b1f27;--back:#0f1217;--line:#2c323d;
--go:#35c482;--no:#f0655c}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:16px;background:var(--back);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"PingFang SC","Microsoft YaHei",sans-serif}
main{width:100%;max-width:420px;background:var(--card);border-radius:20px;padding:24px;box-shadow:0 8px 32px #0000001a}
h1{font-size:17px;margin:0 0 4px}
.badge{display:inline-block;font-size:13px;color:var(--soft)}
.amount{font-size:44px;font-weight:700;letter-spacing:-1px;margin:24px 0 0;font-variant-numeric:tabular-nums}
.goods{margin:4px 0 20px;overflow-wrap:anywhere}
dl{display:flex;justify-content:space-between;gap:16px;font-size:13px;color:var(--soft);
border-top:1px solid var(--line);padding-top:12px;margin:0 0 20px}
dd{margin:0;font-family:ui-monospace,monospace;overflow-wrap:anywhere;text-align:right}
button,.back{display:block;width:100%;min-height:48px;border-radius:12px;border:1px solid var(--line);background:none;
color:inherit;font:inherit;padding:10px 14px;text-align:left;cursor:pointer}
button.go,.back{background:var(--go-back);border-color:var(--go-back);color:#fff;font-weight:600;text-align:center;text-decoration:none}
button small{display:block;color:var(--soft)}
button:focus-visible,.back:focus-visible{outline:3px solid #3b82f6;outline-offset:2px}
h2{font-size:13px;color:var(--soft);font-weight:500;margin:24px 0 8px}
.rest{display:grid;gap:8px}
.state{font-size:22px;font-weight:700;margin:20px 0;color:var(--go)}
.state.closed{color:var(--no)}.state.open{color:var(--soft)}
"""


def language_of(accepted: str) -> Language:
    """From an Accept-Language header: the first of the two that is named."""
    for entry in accepted.lower().split(","):
        tag = entry.strip()
        if tag.startswith("zh"):
            return "zh"
        if tag.startswith("en"):
            return "en"
    return "zh"


def policy(nonce: str) -> str:
    """The Content-Security-Policy of these pages."""
    return f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def shown_amount(amount_minor: int, currency: str) -> str:
    """¥12.50; the currency's code where it has no sign of its own."""
    digits = _DIGITS.get(currency, 2)
    number = f"{amount_minor / 10**digits:,.{digits}f}"
    return f"{_SIGNS.get(currency, currency + ' ')}{number}"


def pay_page(charge: Charge, *, language: Language, nonce: str) -> str:
    """What there is to pay, or how it went."""
    asked = charge.asked
    body = f"""<p class="amount">{escape(shown_amount(asked.amount_minor, asked.currency))}</p>
<p class="goods">{escape(asked.title)}</p>
<dl><dt>{_say("number", language)}</dt><dd>{escape(asked.reference)}</dd></dl>
"""
    is_waiting = charge.late_at_ms is not None and charge.state == "open"
    body += _outcome(charge, is_waiting, language) if is_waiting or charge.state != "open" else _choices(language)
    return _page(body, language=language, nonce=nonce)


def missing_page(*, language: Language, nonce: str) -> str:
    """For a token that stands for nothing."""
    body = f'<p class="state closed">{_say("missing", language)}</p><p>{_say("missing_hint", language)}</p>'
    return _page(body, language=language, nonce=nonce)


def _choices(language: Language) -> str:
    rest = "".join(
        f'<button name="action" value="{name}">{_say(name, language)}<small>{_say(name + "_hint", language)}</small>'
        "</button>"
        for name in ("twice", "late", "fail")
    )
    return f"""<form method="post"><button class="go" name="action" value="pay">{_say("pay", language)}</button>
<h2>{_say("others", language)}</h2><div class="rest">{rest}</div></form>"""


def _outcome(charge: Charge, is_waiting: bool, language: Language) -> str:
    word = "is_late" if is_waiting else f"is_{charge.state}"
    return f"""<p class="state {charge.state}" role="status">{_say(word, language)}</p>
<a class="back" href="{escape(charge.asked.return_url)}">{_say("back", language)}</a>"""


def _page(body: str, *, language: Language, nonce: str) -> str:
    lang = "zh-CN" if language == "zh" else "en"
    return f"""<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{_say("title", language)}</title>
<style nonce="{nonce}">{_STYLE}</style></head>
<body><main><h1>{_say("title", language)}</h1><span class="badge">{_say("badge", language)}</span>
{body}
</main></body></html>"""


def _say(word: str, language: Language) -> str:
    return _WORDS[word][language]
