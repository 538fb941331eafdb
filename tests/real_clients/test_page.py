"""The page in a real browser: Debian's chromium, headless."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

QUERY = "How is the climate in Lima?"
PASSAGES = ["It hardly ever rains in Lima.", "<b>Jugar</b> al fútbol", "利马的气候温和。", "word " * 1500]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    binary, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    assert binary, "no browser: `apt-get install chromium chromium-driver`"
    assert driver, "no chromedriver: `apt-get install chromium-driver`"
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = Chrome(options, ChromeService(driver))
    yield running
    running.quit()


@pytest.fixture
def page(browser: Chrome, url: str) -> Chrome:
    browser.set_window_size(1100, 1400)
    browser.get(url)
    return browser


def find(page: Chrome, selector: str) -> Any:
    return page.find_element(By.CSS_SELECTOR, selector)


def wait(page: Chrome, condition: Callable[[Chrome], Any]) -> Any:
    return WebDriverWait(page, 60).until(condition)


def ranks(page: Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('#ranking li .text')].map((element) => element.textContent)"
    return list(page.execute_script(script))


def ask(page: Chrome, query: str = QUERY, passages: list[str] = PASSAGES) -> None:
    for selector, text in (("#query", query), ("#passages", "\n\n".join(passages))):
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        page.execute_script(script, find(page, selector), text)
    find(page, "button.main").click()
    wait(page, lambda page: len(ranks(page)) == len(passages))


def expected_order(url: str, passages: list[str] = PASSAGES) -> list[int]:
    body = {"query": QUERY, "texts": [passage.strip() for passage in passages]}
    return [rank["index"] for rank in httpx.post(f"{url}/rerank", json=body).json()]


def test_a_ranking_with_scores_tokens_and_what_was_cut(page: Chrome, url: str) -> None:
    ask(page)
    assert ranks(page) == [PASSAGES[index].strip() for index in expected_order(url)]
    facts = [item.text for item in page.find_elements(By.CSS_SELECTOR, "#ranking li .facts")]
    assert all(re.match(r"score [01]\.\d{4} · logit -?\d+\.\d{3} · \d+ tokens", fact) for fact in facts)
    assert [("cut at its end" in fact) for fact in facts] == [index == 3 for index in expected_order(url)]
    assert "4 passages" in find(page, "#summary").text
    assert "ms in the gateway" in find(page, "#summary").text
    assert not page.find_elements(By.CSS_SELECTOR, "#ranking b"), "a passage is text and never markup"


def test_before_and_after(page: Chrome, url: str) -> None:
    ask(page)
    find(page, "#before").click()
    assert ranks(page) == [passage.strip() for passage in PASSAGES]
    find(page, "#after").click()
    assert ranks(page) == [PASSAGES[index].strip() for index in expected_order(url)]


def test_examples_in_several_languages(page: Chrome) -> None:
    examples = Select(find(page, "#example"))
    assert len(examples.options) >= 5
    for option in examples.options:
        examples.select_by_visible_text(option.text)
        find(page, "button.main").click()
        wait(page, ranks)
        passages = find(page, "#passages").get_property("value").split("\n\n")
        assert sorted(ranks(page)) == sorted(passages)


def test_with_the_keyboard_alone(page: Chrome) -> None:
    find(page, "#query").send_keys("?", Keys.CONTROL, Keys.ENTER)
    wait(page, lambda page: len(ranks(page)) == 3)
    tab = find(page, "#tab-curl")
    tab.send_keys(Keys.ARROW_RIGHT)
    assert page.switch_to.active_element.text == "Python"
    assert "urllib.request" in find(page, "#call").text


def test_an_error_is_shown_in_words(page: Chrome) -> None:
    find(page, "#truncate").click()
    script = "arguments[0].value = 'word '.repeat(2000)"
    page.execute_script(script, find(page, "#passages"))
    find(page, "button.main").click()
    error = find(page, "#error")
    wait(page, lambda _: error.is_displayed())
    assert "exceeds maximum allowed token size 1024" in error.text


def test_the_calls_to_copy_work(page: Chrome, tmp_path: Path) -> None:
    ask(page, passages=['It\'s "quoted" \\ text', "利马"])
    for tab, suffix, command in (("curl", "sh", "sh"), ("python", "py", "python3"), ("javascript", "mjs", "node")):
        find(page, f"#tab-{tab}").click()
        script = tmp_path / f"call.{suffix}"
        script.write_text(find(page, "#call").get_property("textContent"))
        if shutil.which(command) is None:
            assert command == "node", "a machine without node cannot run JavaScript; every other call must run"
            continue
        output = os.popen(f"{command} {script} 2>/dev/null").read()  # noqa: S605
        assert "logit" in output or "利马" in output, tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_in_light_and_dark(page: Chrome, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        ask(page)
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"
        ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(246, 247, 249)", "dark": "rgb(17, 22, 28)"}[scheme]
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_loads_nothing_from_elsewhere_and_complains_of_nothing(page: Chrome, url: str) -> None:
    page.get_log("browser")
    page.get(url)
    ask(page)
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert {name.split("?")[0] for name in page.execute_script(script)} <= {f"{url}/info", f"{url}/v1/ranking"}
    assert page.get_log("browser") == []
    screenshot = os.environ.get("SCREENSHOT")  # how docs/gateway-page.png is made
    if screenshot:
        page.get(url)
        find(page, "button.main").click()
        wait(page, ranks)
        page.save_screenshot(screenshot)
