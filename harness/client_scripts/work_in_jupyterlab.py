"""Log in to JupyterLab in a headless Chromium, run a cell, and print what a user would see as JSON.

Standard input is a JSON object with the URL, the token and the cell.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from look_at_page import open_browser
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

LAUNCH = '.jp-LauncherCard[data-category="Notebook"]'
EDITOR = ".jp-Notebook .jp-CodeCell .cm-content"
# JupyterLab does not run a cell before the kernel is connected.
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
OUTPUT = ".jp-Notebook .jp-OutputArea-output pre"
REDRAWN = (
    StaleElementReferenceException,
    ElementNotInteractableException,
    ElementClickInterceptedException,
)
"""What a click meets while JupyterLab replaces the elements of a notebook that opens."""
TRIES = 3
"""How often the cell is run, each time with 30 s for its output."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--screenshot", type=Path, required=True)
    arguments = parser.parse_args()
    given = json.load(sys.stdin)
    report = {}
    with tempfile.TemporaryDirectory() as profile, open_browser(profile) as browser:
        try:
            wait = WebDriverWait(browser, 60, ignored_exceptions=REDRAWN)
            browser.get(f"{given['url']}/lab")
            report["asked"] = browser.current_url
            browser.find_element(By.ID, "password_input").send_keys(given["token"])
            browser.find_element(By.ID, "login_submit").click()
            wait.until(clicked(LAUNCH))
            wait.until(clicked(EDITOR))
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, IDLE)))
            ActionChains(browser).send_keys(given["cell"]).perform()
            # On a busy machine, the first try was seen to give no output within 60 s, although the
            # kernel was idle. The caller sees an output that is missing in the end.
            for _ in range(TRIES):
                wait.until(clicked(EDITOR))
                keys = ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER)
                keys.key_up(Keys.SHIFT).perform()
                with suppress(TimeoutException):
                    output = expected.presence_of_element_located((By.CSS_SELECTOR, OUTPUT))
                    WebDriverWait(browser, 30).until(output)
                    break
            report["output"] = [
                found.text for found in browser.find_elements(By.CSS_SELECTOR, OUTPUT)
            ]
            report["title"] = browser.title
            report["shown"] = browser.current_url
            report["console"] = browser.get_log("browser")
        finally:
            arguments.screenshot.write_bytes(browser.get_screenshot_as_png())
    print(json.dumps(report))


def clicked(selector: str) -> Callable[[WebDriver], bool]:
    """Return a condition that clicks on the element, found anew at each try."""

    def condition(browser: WebDriver) -> bool:
        browser.find_element(By.CSS_SELECTOR, selector).click()
        return True

    return condition


if __name__ == "__main__":
    main()
