"""Statuses of the upstream, sorted by one question: can the request have reached the generator, and so cost money?

The table is also in `docs/promise.md`.
"""

import re

from pixyproxy.adapters.openai.error_messages import ErrorMessage

TIMEOUTS = frozenset({408, 504, 524, 598, 599})
"""A time-out of the upstream or of something in between: the work may go on and be billed."""

MAY_BE_PAID = TIMEOUTS | {460, 499, 520}
"""The caller or a gateway hung up, or the origin answered something that the gateway did not understand."""

UNPAID = frozenset({521, 522, 523, 525, 526, 529, 530})
"""Of the statuses from 500 on those that say that the generator was not reached, or is overloaded."""

OWN_WORD = frozenset({424, 500, 502, 503})
"""Unpaid if the generator itself says so in an error document; from something in between they prove nothing."""

WRONG_ADDRESS = frozenset({300, 301, 302, 303, 304, 305, 307, 308, 404, 405, 410})
REQUEST_FAULTS = frozenset({400, 406, 411, 412, 413, 414, 415, 416, 417, 422, 431, 451})

_BROKEN_OFF = re.compile(
    r"time[d\-\s_]*out|deadline|gateway|cloudflare|upstream[ _](?:connect|server|request|prematurely|reset)"
    r"|from the upstream|connection[ _]?(?:error|was |has been )?(?:closed|lost|reset|aborted|broken|refused|error)"
    r"|connection error|closed (?:the |its )?connection|disconnect|hang up|hung up|side closed|broken pipe|econn"
    r"|epipe|(?<![a-z])eof(?![a-z])|end of file|premature|incomplete|not completed|not enough data|received from peer"
    r"|stream (?:closed|ended|error)|goaway|fetch failed|network error|request failed|transport connection"
    r"|(?:read|reading|decoding|no|empty) response|response.body|failed to (?:forward|fetch|read|receive|get)"
    r"|(?:context|operation|request|task) (?:was )?(?:abort|cancel)|超时|网关|连接.{0,6}(?:断|重置|中断|关闭|失败)",
    re.IGNORECASE,
)
"""Words for a time-out or a lost connection: a gateway that reports one of another server knows no outcome."""


def may_have_been_paid(status: int, message: ErrorMessage) -> bool:
    """Return whether a call that was answered with this status and error message may have been billed."""
    if status in MAY_BE_PAID:
        return True
    if (status < 500 and status not in OWN_WORD) or status in UNPAID:
        return False
    if status not in OWN_WORD:
        return True
    return not message.is_own_word or _BROKEN_OFF.search(message.everything) is not None
