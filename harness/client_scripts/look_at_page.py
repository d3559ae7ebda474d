"""Open a page of the UI in a headless Chromium, and print what a user would see as JSON.

It looks when the page is complete: when every expected word is on it, or time is up.
"""

import argparse
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

QUIET = [
    "--headless",
    "--no-sandbox",  # Chromium refuses to run as root with it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
]


def open_browser(profile: str) -> webdriver.Chrome:
    """Start Debian's Chromium, with names resolved as in E2E_HOSTS and nothing else resolvable."""
    hosts = [line.split() for line in os.environ["E2E_HOSTS"].splitlines()]
    rules = [f"MAP {name} {address}" for address, *names in hosts for name in names]
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in [
        *QUIET,
        f"--user-data-dir={profile}",
        f"--host-resolver-rules={','.join([*rules, 'MAP * ~NOTFOUND', 'EXCLUDE localhost'])}",
    ]:
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def _log_in(browser: webdriver.Chrome, url: str) -> str:
    """Give the browser the name and password that a user would type; return their site."""
    login = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ['MLFLOW_TRACKING_PASSWORD']}"
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/ajax-api/2.0/mlflow/users/current"
    browser.get(f"{parts.scheme}://{login}@{parts.netloc}{path}")
    return f"{parts.scheme}://{parts.netloc}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--word", action="append", default=[], help="expected on the page")
    parser.add_argument("--screenshot", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile:
        browser = open_browser(profile)
        try:
            site = _log_in(browser, arguments.url)
            browser.get(arguments.url)

            def text() -> str:
                return str(browser.find_element(By.TAG_NAME, "body").text)

            # What is missing then is for the caller to see in the text.
            with suppress(TimeoutException):
                WebDriverWait(browser, arguments.limit).until(
                    lambda _: all(word in text() for word in arguments.word)
                )
            arguments.screenshot.write_bytes(browser.get_screenshot_as_png())
            report = {
                "title": browser.title,
                "text": text(),
                "console": [
                    entry
                    for entry in browser.get_log("browser")
                    # What was logged in to is no page, and has no icon.
                    if not entry["message"].startswith(f"{site}/favicon.ico ")
                ],
            }
        finally:
            browser.quit()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
