"""The page behind a volunteer's link in a real browser: on a small telephone, without script, in four languages."""

import io
import re
from uuid import UUID

import pytest
from browser_ground import SMALL, overflows, screenshot, serious
from PIL import Image
from volunteers_ground import another, ground_of

from schemas.commands import GiveTask
from schemas.events import Material
from services.kernel.postgres import create_pool
from services.kernel.site.languages import words_of
from services.kernel.vault import Vault, ring_of
from services.volunteers import callouts

LANGUAGES = ("nl", "fr", "de", "en")


@pytest.fixture
async def asked(served):
    """Somebody of each language was asked: the paths in their messages, by whom, for what."""
    keys = await create_pool(served.settings.vault_url, size=2)
    try:
        vault = Vault(keys, ring_of(served.settings))
        async with ground_of(served.pool, vault, served.settings) as ground:
            people = [
                another(
                    n + 10 * len(await ground.pool.fetch("select 1 from volunteers.person")),
                    languages=[language],
                )
                for n, language in enumerate(LANGUAGES)
            ]
            await ground.people(*people)
            callout = await ground.call_out(await ground.case(), people=4, meeting_place="station, hall B")
            await ground.work()
            found = {
                language: re.search(
                    r"http://[^/]+(/v/\S+)", ground.provider.texts(one["channels"][0][4:])[-1]
                )[1]
                for language, one in zip(LANGUAGES, people, strict=True)
            }
            yield found, ground, callout
    finally:
        await keys.close()


async def test_somebody_answers_on_an_old_telephone(visit, asked):
    """Without script, 390 pixels wide: yes, then from a time on, then no; the page says each time what is noted."""
    paths, ground, callout = asked
    page = await visit(paths["en"], role=None, viewport=SMALL, java_script_enabled=False)
    assert await page.get_by_text("station, hall B").is_visible()
    await page.get_by_role("button", name="Yes, I am coming").click()
    await page.get_by_text("yes, I am coming", exact=True).wait_for()
    await page.get_by_label("Yes, but later: from").fill("20:00")
    # It presses the button beside the field, and not the first one of the page.
    await page.keyboard.press("Enter")
    await page.get_by_text(re.compile(r"yes, from \d\d\.\d\d\. 20:00")).wait_for()
    await page.get_by_role("button", name="No, I cannot").click()
    await page.get_by_text("no, I cannot", exact=True).wait_for()
    await page.reload()
    assert sorted(filter(None, (await ground.replies(callout)).values())) == ["no"]
    [cookie] = [c for c in await page.context.cookies() if c["name"] == "volunteer"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_page_is_readable_in_every_language(visit, asked, language):
    """In the person's language on a telephone that speaks another one; axe finds nothing serious, nothing overflows."""
    paths, *_ = asked
    other = "fr" if language != "fr" else "nl"
    page = await visit(paths[language], role=None, language=other, viewport=SMALL)
    assert await page.locator("html").get_attribute("lang") == language
    words = words_of(("services.volunteers",))[language]
    assert await page.get_by_role("heading", name=words["help_title"]).is_visible()
    assert await page.get_by_role("button", name=words["help_yes"]).is_visible()
    assert not await serious(page)
    assert not await overflows(page)
    await screenshot(page, f"volunteer-answer-{language}")


async def test_a_photo_of_a_poster_is_sent_without_script(visit, asked):
    """The form of a task, in a browser that sends a file, no file, and one that is no picture."""
    paths, ground, callout = asked
    people = [UUID(one["volunteer_id"]) for one in (await ground.board(callout))["people"]]
    for one in people:
        await ground.says(callout, one)
    task = GiveTask(volunteers=people, places=["library"], material=Material(posters=2))
    await ground.act(callout, callouts.give_task, task)
    page = await visit(paths["en"], role=None, viewport=SMALL, java_script_enabled=False)
    picture = io.BytesIO()
    Image.new("RGB", (320, 240), "#884422").save(picture, "JPEG")
    for place, content in (("library", picture.getvalue()), ("station", None), ("church", b"no picture")):
        await page.get_by_label("I put something up").fill(place)
        if content is not None:
            file = {"name": "p.jpg", "mimeType": "image/jpeg", "buffer": content}
            await page.get_by_label("A photo of it").set_input_files(file)
        await page.locator("button[value=placed]").click()
    await page.get_by_text("This photo cannot be read").wait_for()
    visit.complaints.clear()  # Chromium logs the 422
    assert await page.get_by_label("I put something up").input_value() == "church"
    found = {one["place"]: bool(one["photo"]) for one in (await ground.board(callout))["posters"]}
    assert found == {"library": True, "station": False}


async def test_somebody_changes_their_own_details_on_an_old_telephone(visit, asked):
    """Without script: from the page that asks to the own details, quiet hours set, another language, and gone for good."""
    paths, *_ = asked
    page = await visit(paths["en"], role=None, viewport=SMALL, java_script_enabled=False)
    await page.get_by_role("link", name="Change your details").click()
    await page.get_by_role("heading", name="Your details as a volunteer").wait_for()
    await page.get_by_label("from", exact=True).fill("23:00")
    await page.get_by_label("until", exact=True).fill("06:00")
    await page.keyboard.press("Enter")
    await page.get_by_text("Saved.").wait_for()
    assert await page.get_by_label("from", exact=True).input_value() == "23:00"
    await page.get_by_label("first day").fill("2099-07-01")
    await page.get_by_label("last day").fill("2099-07-14")
    await page.get_by_role("button", name="Save").nth(1).click()
    await page.get_by_text(re.compile("01.07.2099 00:00 . 15.07.2099 00:00")).wait_for()
    await page.get_by_label("Language of our messages").select_option("fr")
    await page.get_by_role("button", name="Save").nth(2).click()
    await page.get_by_role("heading", name="Vos données de bénévole").wait_for()
    await page.get_by_role("button", name="Arrêter et tout faire effacer").click()
    await page.get_by_role("link", name="Non, retour").click()
    await page.get_by_role("button", name="Arrêter et tout faire effacer").click()
    await page.get_by_role("button", name="Oui, effacez tout").click()
    await page.get_by_role(
        "heading", name=re.compile("Your details are erased|Vos données sont effacées")
    ).wait_for()
    gone = await page.goto(page.url)
    assert gone.status == 403
    visit.complaints.clear()  # Chromium logs the 403


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_own_details_are_readable_in_every_language(visit, asked, language):
    paths, *_ = asked
    page = await visit(paths[language], role=None, viewport=SMALL)
    words = words_of(("services.volunteers",))[language]
    await page.get_by_role("link", name=words["help_own"]).click()
    await page.get_by_role("heading", name=words["own_title"]).wait_for()
    assert not await serious(page)
    assert not await overflows(page)
    await page.get_by_label(words["own_from"], exact=True).fill("23:00")
    await page.get_by_role("button", name=words["own_save"]).first.click()
    await page.get_by_text(words["own_wrong_quiet"]).wait_for()
    visit.complaints.clear()  # Chromium logs the 422
    assert await page.get_by_label(words["own_from"], exact=True).get_attribute("aria-invalid") == "true"
    assert not await serious(page)
    await screenshot(page, f"volunteer-own-{language}", whole=True)


async def test_a_link_that_is_not_ours_says_what_to_do(visit):
    """A page of its own, in the reader's language, and nothing to press."""
    page = await visit("/v/made-up", role=None, language="de", viewport=SMALL)
    visit.complaints.clear()  # Chromium logs the 403
    assert await page.get_by_role("heading", name="Dieser Link ist nicht oder nicht mehr gültig").is_visible()
    assert await page.locator("main button").count() == 0
    assert not await serious(page)
