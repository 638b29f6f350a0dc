"""The dashboard's pages, checked by axe-core: each view, light and dark."""
import pytest
from conftest import violations
from playwright.sync_api import expect
from serving import PATIENCE

VIEWS = ("Predict", "Why", "Compare", "Class list", "Explore", "About")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, dashboard, axe, scheme, tmp_path):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    try:
        page.goto(dashboard.address, wait_until="commit")
        page.locator(".sp-score b").wait_for(timeout=PATIENCE * 1000)
        for view in VIEWS:
            page.get_by_role("radiogroup", name="View").get_by_role("radio", name=view).check()
            expect(page.locator(".sp-view")).not_to_be_empty()
            if view == "Class list":
                (tmp_path / "class.csv").write_text("gender,lunch\nmale,standard\n")
                with page.expect_file_chooser() as chooser:
                    page.locator(".sp-upload").click()
                chooser.value.set_files(tmp_path / "class.csv")
                expect(page.locator(".sp-problem")).to_contain_text("column 'ethnicity': not found")
            page.wait_for_timeout(300)
            assert violations(page, axe) == [], view
    finally:
        page.close()
