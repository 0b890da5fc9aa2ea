"""Runs a policy in Python, and turns what it raises into the reason that is recorded.

The world's `run` fails with a text. The runtime ends by a trap for any other exception, and for a refusal
of the host that the policy hands on.
"""

import sys
import traceback

import policy
from componentize_py_types import Err


def words(raised: BaseException) -> str:
    value = raised.value if isinstance(raised, Err) else None
    if isinstance(value, str):
        return value
    if value is not None:
        # The world's `error`: a class for each case, with a text.
        name = type(value).__name__
        kind = {"Error_Invalid": "invalid", "Error_NotFinite": "not-finite"}.get(name, name)
        return f"{kind}: {getattr(value, 'value', value)}"
    return traceback.format_exception_only(raised)[-1].strip()


class WitWorld(policy.WitWorld):
    def run(self) -> None:
        try:
            super().run()
        except SystemExit:
            raise
        except BaseException as raised:
            if not (isinstance(raised, Err) and isinstance(raised.value, str)):
                traceback.print_exc(file=sys.stdout)
            raise Err(words(raised)) from None
        finally:
            sys.stdout.flush()
