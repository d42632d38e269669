"""A loop is kept from sleeping for as long as it was told to, and no longer."""

from __future__ import annotations

import asyncio

from serving.web.awake import Awake


def test_the_loop_looks_on_after_a_request_and_sleeps_when_none_follows() -> None:
    times, found = [0.0], list[bool]()
    awake = Awake(2.0, lambda: times[-1])

    async def at(*moments: float) -> None:
        for each in moments:
            times.append(each)
            await asyncio.sleep(0)
            found.append(awake.is_looking)

    async def live() -> None:
        await at(0.0)
        awake.note()
        await at(0.5, 1.9)
        awake.note()
        await at(3.8, 4.0, 9.0)
        awake.note()
        await at(9.1, 11.1)

    asyncio.run(live())
    assert found == [False, True, True, True, False, False, True, False]
