"""The report in a browser: widths, themes, print, accessibility, tables, figures.

Run by hand, for it needs a browser:

    apt-get install chromium chromium-driver; pip install selenium; (npm pack axe-core, unpacked) AXE=.../axe.min.js
    python -m pytest -c /dev/null --rootdir . browser [--basetemp FOLDER]

Pictures are in the test's folder. Without AXE the accessibility check is left out of the list.
"""

import base64
import os
import sys
import time
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from _synthetic_run import write_synthetic_run  # noqa: E402

from taskgroup import write_report  # noqa: E402

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --allow-file-access-from-files"
).split()
SIZES = {100: 12, 600: 20, 2000: 40}  # tasks: groups
AXE = os.environ.get("AXE")


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(downloads):
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    prefs = {
        "download.default_directory": str(downloads),
        "profile.default_content_setting_values.automatic_downloads": 1,
    }
    options.add_experimental_option("prefs", prefs)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options)
    yield found
    found.quit()


@pytest.fixture(scope="session", params=SIZES)
def page(request, tmp_path_factory):
    run = write_synthetic_run(
        tmp_path_factory.mktemp("run") / "run", tasks=request.param, n_samples=400, n_groups=SIZES[request.param]
    )
    return request.param, write_report(run)


def show(driver, path, width=1280, dark=False):
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    start = time.perf_counter()
    driver.get(path.as_uri())
    return time.perf_counter() - start


def picture(driver, path):
    found = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "fromSurface": True})
    path.write_bytes(base64.b64decode(found["data"]))


def test_pages_are_small_and_quick(driver, page):
    n_tasks, path = page
    size = path.stat().st_size
    seconds = show(driver, path)
    print(f"\n{n_tasks} tasks: {size / 1e6:.2f} MB, loaded in {seconds:.2f} s")
    assert size < 3_000_000
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_is_wider_than_the_screen(driver, page, width, dark, tmp_path):
    show(driver, page[1], width, dark)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    wide = driver.execute_script(
        "return [...document.querySelectorAll('figure svg')]"
        ".filter(s => s.getBoundingClientRect().right > innerWidth + 1)"
        ".map(s => s.closest('figure').dataset.name)"
    )
    assert wide == []
    picture(driver, tmp_path / f"{page[0]}-{width}-{'dark' if dark else 'light'}.png")


def test_the_page_prints(driver, page, tmp_path):
    show(driver, page[1])
    pdf = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    (tmp_path / f"{page[0]}.pdf").write_bytes(base64.b64decode(pdf["data"]))
    assert len(pdf["data"]) > 10_000


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390] if AXE else [])
def test_axe_finds_nothing(driver, page, width, dark):
    show(driver, page[1], width, dark)
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": Path(str(AXE)).read_text(encoding="utf-8")})
    driver.set_script_timeout(120)
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', "
        "'best-practice']}).then(r => done(r.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 300), "
        "v.nodes[0].failureSummary])))"
    )
    assert found == []


def column(driver, table, number):
    return driver.execute_script(
        "return [...document.querySelectorAll(`${arguments[0]} tbody tr`)]"
        ".map(row => row.cells[arguments[1]].textContent.trim())",
        table, number,
    )  # fmt: skip


def test_tables_sort_and_filter(driver, page):
    n_tasks, path = page
    show(driver, path)
    heads = driver.find_elements(By.CSS_SELECTOR, "#plan-table thead button")
    before = driver.execute_script("return getComputedStyle(arguments[0], '::after').content", heads[0])
    assert "\u2195" in before
    start = time.perf_counter()
    driver.execute_script("arguments[0].click()", heads[0])
    print(f"\n{n_tasks} tasks: sorted in {time.perf_counter() - start:.2f} s")
    names = column(driver, "#plan-table", 0)
    assert names == sorted(names, key=lambda name: int(name.split("_")[1]))
    driver.execute_script("arguments[0].click()", heads[4])
    values = [float(cell) for cell in column(driver, "#plan-table", 4) if cell != "–"]
    assert values == sorted(values, reverse=True)
    field = driver.find_element(By.CSS_SELECTOR, "input[data-filter]")
    status = driver.find_element(By.CSS_SELECTOR, "[role=status]")
    assert status.get_attribute("aria-live") == "polite"
    for word, text in (("task_1", f"{sum('task_1' in name for name in names)} of {n_tasks}"),
                       ("nothing", f"none of {n_tasks} tasks match")):  # fmt: skip
        field.clear()
        field.send_keys(word)
        assert status.text == text


def test_figures_are_saved_and_enlarged(driver, page, downloads):
    show(driver, page[1])
    for old in downloads.iterdir():
        old.unlink()
    figure = driver.find_element(By.CSS_SELECTOR, "figure[data-name=scorecard]")
    for label in ("SVG", "PNG", "CSV"):
        button = next(b for b in figure.find_elements(By.TAG_NAME, "button") if b.text == label)
        driver.execute_script("arguments[0].click()", button)
        wanted = downloads / f"scorecard.{label.lower()}"
        for _ in range(100):
            if wanted.exists() and wanted.stat().st_size:
                break
            time.sleep(0.05)
        assert wanted.stat().st_size > 100
    assert "var(" not in (downloads / "scorecard.svg").read_text(encoding="utf-8")
    assert (downloads / "scorecard.png").read_bytes()[:4] == b"\x89PNG"
    assert (downloads / "scorecard.csv").read_text().startswith("method,mean,low,high")
    driver.execute_script("document.querySelector('[id$=\"-panels\"] path').dispatchEvent(new MouseEvent('click'))")
    dialog = driver.find_element(By.ID, "large")
    assert dialog.is_displayed()
    assert dialog.find_element(By.TAG_NAME, "strong").text.startswith("Data Map of task_")
    driver.execute_script("document.getElementById('large').close()")
    chosen = driver.find_element(By.CSS_SELECTOR, "figure[data-name=data_maps] select")
    driver.execute_script("arguments[0].value = 3; arguments[0].dispatchEvent(new Event('change'))", chosen)
    assert dialog.is_displayed()


def test_the_keyboard_reaches_the_answer_and_every_region(driver, page):
    show(driver, page[1])
    driver.execute_script("document.querySelector('.skip').focus()")
    skip = driver.switch_to.active_element
    assert skip.text == "Skip to the answer"
    loose = driver.execute_script(
        "return [...document.querySelectorAll('*')].filter(e => /auto|scroll/.test(getComputedStyle(e).overflowX) && "
        "e.scrollWidth > e.clientWidth && e.tabIndex < 0).length"
    )
    assert loose == 0


@pytest.mark.parametrize("name", ["similarity", "membership"])
def test_heat_maps_say_what_the_pointer_is_on(driver, page, name):
    path = page[1]
    show(driver, path)
    hover = """
        const image = document.getElementById(arguments[0]), box = image.getBoundingClientRect();
        const [x, y] = [box.left + box.width * arguments[1], box.top + box.height * arguments[2]];
        image.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: x, clientY: y }));
        const tip = document.querySelector(".tip");
        return tip.hidden ? "" : tip.textContent"""
    first, last = (driver.execute_script(hover, f"{name}-cells", at, at) for at in (1e-6, 1 - 1e-6))
    down = "group 0" if name == "membership" else "task_"
    assert first.startswith(down)
    assert first != last
    csv = (path.parent / "figures" / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    if len("\n".join(csv)) < 200_000:
        assert first.endswith(f": {float(csv[1].split(',')[1]):.2f}")
        assert last.endswith(f": {float(csv[-1].split(',')[-1]):.2f}")
    else:
        assert ":" not in first
    driver.execute_script("document.body.dispatchEvent(new PointerEvent('pointermove', { bubbles: true }))")
    assert not driver.find_element(By.CSS_SELECTOR, ".tip").is_displayed()
