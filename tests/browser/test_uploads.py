"""Pictures with a script: made smaller, sent at once, taken by a camera, and never a dead end."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, BrowserContext, Playwright, Route, expect

from onboarding.sandbox.partner import PartnerSite
from onboarding.sandbox.state import StoredFile
from tests.browser.conftest import Walk
from tests.browser.walker import ALL_BLOCKED, ARGS, DESKTOP, NARROW, NO_SCRIPT, PARTITIONED, PHONE, Walker, kept
from tests.support import Server, fresh_email, picture

pytestmark = pytest.mark.browser
pillow_heif.register_heif_opener()

Profiles = Callable[[dict[str, Any]], BrowserContext]
PASSPORT = "Passport, photo page"
ENOUGH = 600_000  # bytes of a photo that was made smaller
SLOW = 60_000  # bytes a second
FAKE = ["--use-fake-device-for-media-stream"]
AGREES = "--use-fake-ui-for-media-stream"  # the customer lets the page use the camera
REFUSES = "--deny-permission-prompts"


# -- What is photographed ----------------------------------------------------------------------------------------------


def photo(width: int = 4000, height: int = 3000, kind: str = "JPEG", *, turned: bool = False, noise: int = 24) -> bytes:
    """A document on a table, as a phone takes it: a red corner at the top left, small print, and grain.

    `turned`: the phone was held upright. The pixels lie on their side and a note says so.
    """
    grain = Image.effect_noise((width // 4, height // 4), noise).resize((width, height), Image.Resampling.BILINEAR)
    drawn = grain.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    pen.rectangle((width * 0.05, height * 0.05, width * 0.95, height * 0.95), fill="#f4f2ec")
    pen.rectangle((0, 0, width // 8, height // 8), fill="#e00000")
    font = ImageFont.load_default(height // 50)
    for line in range(20):
        pen.text((width * 0.2, height * (0.1 + line * 0.04)), "P<GBREXAMPLE<<ANN<<<E12345678 " * 2, "#222", font)
    exif = Image.Exif()
    if turned:
        drawn = drawn.transpose(Image.Transpose.ROTATE_90)
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    buffer = io.BytesIO()
    drawn.save(buffer, kind, exif=exif, quality=95)
    return buffer.getvalue()


def heavy(size: int) -> bytes:
    """A JPEG of this many bytes: what cameras add behind a picture."""
    content = photo()
    return content + b"\0" * (size - len(content))


def given(content: bytes, name: str = "passport.jpg", kind: str = "image/jpeg") -> Any:
    return {"name": name, "mimeType": kind, "buffer": content}


def reads_like(stored: Image.Image, original: bytes) -> bool:
    """Whether the small print has the contrast that it had: how far the pixels of a line differ from each other."""

    def contrast(image: Image.Image) -> float:
        line = image.convert("L").resize((2000, 1500))
        pixels = line.crop((500, 130, 1500, 200)).tobytes()
        middle = sum(pixels) / len(pixels)
        return float((sum((value - middle) ** 2 for value in pixels) / len(pixels)) ** 0.5)

    with Image.open(io.BytesIO(original)) as before:
        return contrast(stored) > contrast(before) * 0.8


# -- Walking -----------------------------------------------------------------------------------------------------------


def at_pictures(walker: Walker, *, tag: str = "") -> Walker:
    """At the level, with the passport's picture asked for."""
    walker.register(email=fresh_email(tag)).at("level")
    walker.field("Full name").fill("Ann Example")
    walker.field("Date of birth").fill("1990-05-17")
    walker.field("Kind of document").select_option(label="Passport")
    walker.field("Number of the document").fill("E12345678")
    expect(walker.field(PASSPORT)).to_be_visible()
    return walker


def choose(walker: Walker, *files: Any, label: str = PASSPORT) -> None:
    walker.field(label).set_input_files(list(files))


def box(walker: Walker, label: str = PASSPORT) -> Any:
    """The whole field."""
    return walker.root.locator(".picture").filter(has=walker.field(label))


def received(walker: Walker, name: str, label: str = PASSPORT) -> None:
    expect(box(walker, label).locator(".received")).to_contain_text(name)
    expect(box(walker, label).locator(".transfer")).to_have_count(0)


def wrong(walker: Walker) -> Any:
    """What is said beside the field, and tied to it."""
    expect(walker.field(PASSPORT)).to_have_attribute("aria-invalid", "true")
    return walker.error(PASSPORT)


def button(walker: Walker, name: str) -> Any:
    return walker.root.get_by_role("button", name=name, exact=True)


def stored_by(walker: Walker) -> list[StoredFile]:
    """The files of this customer that the upstream has, in their order."""
    number = walker.entry()["customerNo"]
    return [file for file in walker.sandbox.state.files.values() if file.owner == number]


def opened(file: StoredFile) -> Image.Image:
    return Image.open(io.BytesIO(file.content))


def sizes_sent(walker: Walker) -> list[int]:
    """How many bytes each upload has, from now on; filled while the walk goes on."""
    found: list[int] = []

    def note(request: Any) -> None:
        if request.url.endswith("/upload/"):
            found.append(int(request.header_value("content-length") or 0) or len(request.post_data_buffer or b""))

    walker.page.on("request", note)
    return found


def slow_down(walker: Walker, rate: int = SLOW) -> Callable[[], None]:
    """A line that sends this many bytes a second; gives what ends it."""
    session = walker.page.context.new_cdp_session(walker.page)
    session.send("Network.enable")

    def limit(rate: int) -> None:
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
        session.send("Network.emulateNetworkConditions", conditions)

    limit(rate)
    return lambda: limit(-1)


def has_preview(walker: Walker) -> bool:
    shown = box(walker).locator(".thumb canvas")
    expect(shown).to_be_visible()
    return bool(shown.evaluate("(canvas) => canvas.getContext('2d').getImageData(5, 5, 1, 1).data[0] > 0"))


# -- Smaller, at once --------------------------------------------------------------------------------------------------


def test_a_photo_of_12_megapixels_arrives_small_upright_and_readable(walk: Walk) -> None:
    walker = at_pictures(walk(PHONE).open())
    sizes = sizes_sent(walker)
    original = photo(turned=True)
    assert len(original) > ENOUGH
    choose(walker, given(original, "IMG 001.JPG"))
    received(walker, "IMG 001.jpg")
    assert has_preview(walker)
    (file,) = stored_by(walker)
    with opened(file) as stored:
        assert stored.size == (2400, 1800), "as it is to be looked at"
        red, green, _ = stored.convert("RGB").getpixel((20, 20))  # type: ignore[misc]
        assert red > 200 and green < 60, "the red corner is at the top left"
        assert reads_like(stored, photo())
    assert len(file.content) < ENOUGH
    assert [size < ENOUGH for size in sizes] == [True]
    walker.press("Send").at("done")
    assert len(stored_by(walker)) == 1, "the form did not send it again"
    walker.watch.is_clean()
    kept(walker.page)


def test_a_photo_of_25_megabytes_goes_out_small(walk: Walk, tmp_path: Path) -> None:
    large = tmp_path / "passport.jpg"
    large.write_bytes(heavy(25 * 1024 * 1024))
    walker = at_pictures(walk(PHONE).open())
    sizes = sizes_sent(walker)
    choose(walker, large)
    received(walker, "passport.jpg")
    assert [size < ENOUGH for size in sizes] == [True]
    with opened(stored_by(walker)[0]) as stored:
        assert stored.size == (2400, 1800)
        assert reads_like(stored, photo())
    walker.press("Send").at("done")
    walker.watch.is_clean()


def test_a_photo_full_of_grain_goes_out_small_all_the_same(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    sizes = sizes_sent(walker)
    buffer = io.BytesIO()
    Image.effect_noise((4000, 3000), 90).save(buffer, "JPEG", quality=92)
    choose(walker, given(buffer.getvalue()))
    received(walker, "passport.jpg")
    assert sizes[0] < len(buffer.getvalue()) / 5
    with opened(stored_by(walker)[0]) as stored:
        assert max(stored.size) >= 1200


@pytest.mark.parametrize("screen", [PHONE, NARROW], ids=["phone", "narrow"])
def test_a_heic_photo_arrives_as_jpeg(walk: Walk, screen: dict[str, Any]) -> None:
    """This browser cannot draw it: it goes out as it is, and the server makes a JPEG of it."""
    walker = at_pictures(walk(screen).open())
    choose(walker, given(photo(1200, 900, "HEIF"), "IMG_2.HEIC", "image/heic"))
    received(walker, "IMG_2.HEIC")
    expect(box(walker).locator(".thumb")).to_have_text("HEIC")
    (file,) = stored_by(walker)
    assert file.content_type == "image/jpeg"
    with opened(file) as stored:
        assert stored.size == (1200, 900)
    walker.press("Send").at("done")
    walker.watch.is_clean()


def test_a_photo_chosen_before_the_script_has_come_goes_out_when_it_comes(walk: Walk) -> None:
    walker = walk(PHONE).open()
    held: list[Route] = []
    walker.page.route("**/js/upload*.js", lambda route: held.append(route))
    at_pictures(walker)
    sizes = sizes_sent(walker)
    choose(walker, given(photo()))
    assert (walker.field(PASSPORT).evaluate("(input) => input.files.length"), len(held), sizes) == (1, 1, [])
    held.pop().continue_()
    received(walker, "passport.jpg")
    assert has_preview(walker)
    assert [size < ENOUGH for size in sizes] == [True]
    walker.press("Send").at("done")
    assert len(stored_by(walker)) == 1, "the form did not send it again"
    walker.watch.is_clean()


def test_a_photo_sent_by_the_form_before_the_script_has_come_is_not_sent_twice(walk: Walk) -> None:
    walker = walk().open()
    scripts: list[Route] = []
    forms: list[Route] = []
    walker.page.route("**/js/upload*.js", lambda route: scripts.append(route))
    at_pictures(walker)
    sizes = sizes_sent(walker)
    choose(walker, given(photo()))
    walker.page.route("**/level/", lambda route: forms.append(route))
    walker.press("Send")
    expect(walker.page.locator("#level")).to_have_attribute("aria-busy", "true")
    scripts.pop().continue_()
    expect(walker.page.locator("#level[data-ready]")).to_be_visible()
    expect(button(walker, "Take a photo")).to_be_visible()
    forms.pop().continue_()
    walker.at("done")
    assert (sizes, len(stored_by(walker))) == ([], 1)
    walker.watch.is_clean()


def test_a_small_picture_goes_out_as_it_is(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    choose(walker, given(picture(300, 200), "small.png", "image/png"))
    received(walker, "small.png")
    assert has_preview(walker)
    with opened(stored_by(walker)[0]) as stored:
        assert (stored.size, stored.format) == ((300, 200), "PNG")


# -- Progress, cancelled, failed ---------------------------------------------------------------------------------------


def test_the_progress_is_shown_and_can_be_cancelled(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    walker.field(PASSPORT).focus()
    faster = slow_down(walker)
    choose(walker, given(photo()))
    bar = walker.root.get_by_role("progressbar", name="Sending")
    expect(bar).to_be_visible()
    expect(box(walker).locator(".percent")).to_have_text(re.compile(r"^[1-9]\d?%$"))
    assert 0 < float(bar.get_attribute("value") or 0) < 1
    expect(walker.root.locator("#picture-news")).to_contain_text("Sending")
    expect(walker.field(PASSPORT)).to_be_focused()
    assert has_preview(walker)
    walker.press("Cancel")
    expect(box(walker).locator(".transfer")).to_have_count(0)
    expect(walker.field(PASSPORT)).to_be_focused()
    expect(walker.field(PASSPORT)).to_have_value("")
    faster()
    assert stored_by(walker) == []
    walker.press("Send")
    expect(walker.summary).to_contain_text("Add this picture.")
    choose(walker, given(photo()))
    received(walker, "passport.jpg")
    walker.press("Send").at("done")
    walker.watch.is_clean(refusals=(422,), aborted=True)


def test_what_was_received_stays_when_the_next_one_is_cancelled(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    choose(walker, given(picture(), "first.png", "image/png"))
    received(walker, "first.png")
    slow_down(walker)
    choose(walker, given(photo(), "second.jpg"))
    expect(box(walker)).to_contain_text("second.jpg")
    expect(walker.root.get_by_text("first.png")).to_be_hidden()
    walker.press("Cancel")
    received(walker, "first.png")
    assert has_preview(walker)
    walker.press("Send").at("done")


def test_a_failed_transfer_is_tried_again_without_choosing(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    walker.page.route("**/upload/", lambda route: route.abort(), times=1)
    choose(walker, given(photo()))
    expect(box(walker)).to_contain_text("This could not be sent.")
    expect(walker.root.locator("#picture-news")).to_contain_text("could not be sent")
    walker.press("Try again")
    received(walker, "passport.jpg")
    assert has_preview(walker)
    expect(walker.field(PASSPORT)).to_be_focused()
    walker.press("Send").at("done")
    assert len(stored_by(walker)) == 1


@pytest.mark.parametrize("status", [413, 429, 502, 503])
def test_an_answer_that_is_none_can_be_tried_again(walk: Walk, status: int) -> None:
    walker = at_pictures(walk().open())
    walker.page.route("**/upload/", lambda route: route.fulfill(status=status, body="<h1>Oh</h1>"), times=1)
    choose(walker, given(photo()))
    walker.press("Try again")
    received(walker, "passport.jpg")


def test_what_could_not_be_sent_goes_with_the_form(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    walker.page.route("**/upload/", lambda route: route.abort())
    choose(walker, given(photo()))
    expect(button(walker, "Try again")).to_be_visible()
    walker.press("Send").at("done")
    (file,) = stored_by(walker)
    with opened(file) as stored:
        assert stored.size == (2400, 1800), "the smaller one"


def test_an_upload_that_came_too_late_leads_to_the_current_step(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    other = walk(context=walker.page.context)
    other.page.goto(walker.page.url)
    other.to = walker.to
    at_level = other.at("level").fill_document().field("Full name")
    at_level.fill("Ann Example")
    other.field("Date of birth").fill("1990-05-17")
    received(other, "passport.png")
    other.press("Send").at("done")
    choose(walker, given(picture(), "late.png", "image/png"))
    walker.at("done")


# -- The form sent meanwhile -------------------------------------------------------------------------------------------


def test_a_form_sent_meanwhile_waits_for_the_picture_and_sends_both_once(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    posts: list[str] = []
    walker.page.on("request", lambda request: request.method == "POST" and posts.append(request.url.split("/")[-2]))
    faster = slow_down(walker)
    choose(walker, given(photo()))
    expect(box(walker).locator(".percent")).to_have_text(re.compile(r"^\d+%$"))
    walker.press("Send").press("Send")
    expect(walker.root.locator("#level")).to_have_attribute("aria-busy", "true")
    assert posts == ["upload"]
    faster()
    walker.at("done")
    assert posts == ["upload", "level"]
    assert len(stored_by(walker)) == 1
    assert walker.application()["proof_of_passpord"].startswith(walker.sandbox.url)
    walker.watch.is_clean()


def test_a_form_that_waits_is_not_sent_when_its_picture_is_refused(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    faster = slow_down(walker, 20_000)
    choose(walker, given(b"no picture " * 9_000, "passport.jpg"))
    expect(box(walker).locator(".percent")).to_have_text(re.compile(r"^\d+%$"))
    walker.press("Send")
    faster()
    expect(wrong(walker)).to_contain_text("We cannot read this file.")
    expect(walker.field(PASSPORT)).to_be_focused()
    expect(walker.root.locator("#level")).not_to_have_attribute("aria-busy", "true")
    choose(walker, given(photo()))
    received(walker, "passport.jpg")
    walker.press("Send").at("done")


def test_another_kind_of_document_meanwhile_loses_nothing(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    faster = slow_down(walker)
    choose(walker, given(photo()))
    expect(box(walker).locator(".percent")).to_have_text(re.compile(r"^\d+%$"))
    walker.field("Kind of document").select_option(label="Driving licence")
    expect(walker.field(PASSPORT)).to_have_count(0)
    walker.field("Kind of document").select_option(label="Passport")
    expect(walker.field(PASSPORT)).to_be_visible()
    expect(walker.root.get_by_role("progressbar", name="Sending")).to_be_visible()
    faster()
    received(walker, "passport.jpg")
    assert has_preview(walker)
    walker.press("Send").at("done")
    assert len(stored_by(walker)) == 1


# -- Refused -----------------------------------------------------------------------------------------------------------


def test_a_wrong_type_is_said_beside_the_field_which_stays_usable(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    choose(walker, given(b"hello", "notes.txt", "text/plain"))
    expect(wrong(walker)).to_contain_text("We cannot read this file.")
    expect(walker.field(PASSPORT)).to_have_attribute("aria-invalid", "true")
    expect(walker.root.locator("#picture-news")).to_contain_text("We cannot read this file.")
    choose(walker, given(picture(), "passport.png", "image/png"))
    received(walker, "passport.png")
    expect(box(walker).locator(".error")).to_have_count(0)
    expect(walker.field(PASSPORT)).not_to_have_attribute("aria-invalid", "true")
    walker.press("Send").at("done")
    walker.watch.is_clean(refusals=(422,))


def test_a_file_that_is_too_large_is_refused_at_once_in_the_servers_words(walk: Walk, tmp_path: Path) -> None:
    content = tmp_path / "scan.pdf"
    content.write_bytes(b"%PDF-1.7" + b"\0" * 11 * 1024 * 1024)
    words = "This file is too large: 11.0 MB. The limit is 10 MB."
    walker = at_pictures(walk().open())
    sizes = sizes_sent(walker)
    choose(walker, content)
    expect(wrong(walker)).to_contain_text(words)
    expect(walker.field(PASSPORT)).to_have_value("")
    assert sizes == []
    choose(walker, given(picture(), "passport.png", "image/png"))
    received(walker, "passport.png")
    expect(box(walker).locator(".error")).to_have_count(0)
    plain = at_pictures(walk().open())
    plain.field(PASSPORT).evaluate(
        "(input) => { input.onchange = null }"
    )  # as if the script had not come: the form takes it
    sizes = sizes_sent(plain)
    choose(plain, content)
    assert sizes == []
    plain.press("Send")
    expect(wrong(plain)).to_contain_text(words)


# -- What was received stays -------------------------------------------------------------------------------------------


def test_the_picture_survives_an_error_elsewhere_a_reload_and_back(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    walker.field("Number of the document").fill("?")
    choose(walker, given(photo()))
    received(walker, "passport.jpg")
    walker.press("Send")
    expect(walker.summary).to_be_focused()
    received(walker, "passport.jpg")
    walker.page.reload()
    received(walker.at("level"), "passport.jpg")
    walker.page.goto(walker.url)
    walker.at("identify").page.go_back()
    received(walker.at("level"), "passport.jpg")
    walker.field("Number of the document").fill("E12345678")
    walker.press("Send").at("done")
    assert len(stored_by(walker)) == 1


def test_the_script_does_its_work_in_every_form_that_comes_by_a_swap(walk: Walk) -> None:
    walker = at_pictures(walk().open())
    names = set(walker.page.evaluate("Object.keys(window)"))
    for _ in range(2):
        walker.press("Send")
        expect(walker.summary).to_be_focused()
        expect(button(walker, "Take a photo")).to_have_count(1)
    sizes = sizes_sent(walker)
    choose(walker, given(picture(), "passport.png", "image/png"))
    received(walker, "passport.png")
    assert len(sizes) == 1
    assert set(walker.page.evaluate("Object.keys(window)")) == names


def test_at_320_pixels_nothing_is_cut_off(walk: Walk) -> None:
    walker = at_pictures(walk(NARROW).open())
    name = "a-very-long-name-of-a-photo-that-goes-on-and-on-without-any-end.jpg"

    def fits() -> None:
        page = walker.page
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        for pressed in box(walker).get_by_role("button").all():
            assert pressed.bounding_box()["height"] >= 44

    fits()
    walker.page.route("**/upload/", lambda route: route.abort(), times=1)
    choose(walker, given(photo(), name))
    expect(button(walker, "Try again")).to_be_visible()
    fits()
    walker.press("Try again")
    received(walker, name)
    fits()
    choose(walker, given(b"hello", "notes.txt", "text/plain"))
    expect(wrong(walker)).to_be_visible()
    fits()


@pytest.mark.parametrize(("kind", "name"), [("JPEG", "passport.jpg"), ("HEIF", "IMG_2.HEIC")])
def test_the_plain_way_works_with_javascript_off(walk: Walk, profiles: Profiles, kind: str, name: str) -> None:
    walker = walk(context=profiles(NO_SCRIPT)).open()
    walker.page.set_viewport_size(NARROW["viewport"])
    walker.register(email=fresh_email()).at("level").fill_level()
    expect(button(walker, "Take a photo")).to_have_count(0)
    choose(walker, given(photo(2000, 1500, kind), name, "application/octet-stream"))
    walker.press("Send").at("done")
    (file,) = stored_by(walker)
    with opened(file) as stored:
        assert (stored.size, stored.format) == ((2000, 1500), "JPEG")


def test_in_a_frame_where_every_cookie_is_blocked_and_storage_throws(
    walk: Walk, profiles: Profiles, framed: Server, partner: PartnerSite
) -> None:
    walker = at_pictures(walk(context=profiles(ALL_BLOCKED), url=partner.url).open("/").inside())
    choose(walker, given(photo()))
    received(walker, "passport.jpg")
    assert len(stored_by(walker)[0].content) < ENOUGH
    walker.press("Send").at("done")
    walker.watch.is_clean()
    kept(walker.page, throws=True)


# -- The camera --------------------------------------------------------------------------------------------------------


def film(path: Path) -> Path:
    """What the fake camera sees: a red corner at the top left of a grey picture of 640 by 480."""
    width, height = 640, 480
    light = bytearray(b"\x80" * (width * height))
    blue, red = bytearray(b"\x80" * (width * height // 4)), bytearray(b"\x80" * (width * height // 4))
    for row in range(height // 4):
        light[row * width : row * width + width // 4] = bytes([76]) * (width // 4)
    for row in range(height // 8):
        start = row * width // 2
        blue[start : start + width // 8] = bytes([85]) * (width // 8)
        red[start : start + width // 8] = bytes([255]) * (width // 8)
    frame = b"FRAME\n" + bytes(light) + bytes(blue) + bytes(red)
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420mpeg2\n".encode() + frame * 5)
    return path


@pytest.fixture(scope="module")
def cameras(
    playwright: Playwright, executable: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Browser]]:
    """A browser whose owner agrees to the camera, and one whose owner does not."""
    seen = f"--use-file-for-fake-video-capture={film(tmp_path_factory.mktemp('film') / 'film.y4m')}"
    started = {
        answer: playwright.chromium.launch(
            executable_path=executable or None, args=[*ARGS, PARTITIONED, *FAKE, seen, answer]
        )
        for answer in (AGREES, REFUSES)
    }
    yield started
    for browser in started.values():
        browser.close()


@pytest.fixture
def before_camera(walk: Walk, cameras: dict[str, Browser]) -> Iterator[Callable[..., Walker]]:
    """A walker in front of the camera, which is asked for and given as a page sees it."""
    made: list[BrowserContext] = []

    def make(answer: str = AGREES, **options: Any) -> Walker:
        url = options.pop("url", "")
        context = cameras[answer].new_context(**{**DESKTOP, **options})
        context.add_init_script("""
            window.asked = []; window.streams = [];
            const real = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
            if (real) navigator.mediaDevices.getUserMedia = async (wanted) => {
                asked.push(wanted.video.facingMode);
                streams.push(await real(wanted));
                return streams.at(-1);
            };""")
        made.append(context)
        return walk(context=context, url=url)

    yield make
    for context in made:
        context.close()


RUNNING = "streams.flatMap((stream) => stream.getTracks()).filter((track) => track.readyState === 'live').length"


def take(walker: Walker, label: str = PASSPORT) -> None:
    box(walker, label).get_by_role("button", name="Take a photo").click()
    video = box(walker, label).locator("video")
    expect(video).to_be_visible()
    expect(button(walker, "Take the photo")).to_be_focused()
    video.evaluate("(video) => new Promise((done) => video.requestVideoFrameCallback(done))")


def test_a_face_is_taken_by_the_front_camera_and_a_document_by_the_rear_one(
    before_camera: Callable[..., Walker],
) -> None:
    walker = at_pictures(before_camera().open(), tag="all")
    for label, facing in ((PASSPORT, "environment"), ("Photo of your face", "user")):
        take(walker, label)
        assert walker.page.evaluate("asked.at(-1)") == facing
        walker.press("Take the photo")
        received(walker, "Photo.jpg", label)
        assert walker.page.evaluate(RUNNING) == 0
        file = stored_by(walker)[-1]
        assert len(file.content) < ENOUGH
        with opened(file) as stored:
            assert (stored.format, stored.width / stored.height) == ("JPEG", 4 / 3)
            red, green, _ = stored.convert("RGB").getpixel((10, 10))  # type: ignore[misc]
            assert red > 180 and green < 90, "upright, not mirrored"
    walker.watch.is_clean()


@pytest.mark.parametrize("screen", [DESKTOP, NARROW], ids=["wide", "narrow"])
def test_a_passport_is_photographed_with_the_camera_and_sent(
    before_camera: Callable[..., Walker], screen: dict[str, Any]
) -> None:
    walker = at_pictures(before_camera(**screen).open())
    take(walker)
    assert walker.page.locator("html").evaluate("page => page.scrollWidth - page.clientWidth") <= 0
    walker.press("Take the photo")
    received(walker, "Photo.jpg")
    walker.press("Send").at("done")
    assert walker.application()["proof_of_passpord"].startswith(walker.sandbox.url)
    walker.watch.is_clean()


def test_the_camera_stops_when_it_is_cancelled_and_when_its_step_goes_away(
    before_camera: Callable[..., Walker],
) -> None:
    walker = at_pictures(before_camera(**PHONE).open())
    take(walker)
    assert walker.page.evaluate(RUNNING) == 1
    walker.press("Cancel")
    expect(box(walker).locator("video")).to_have_count(0)
    expect(button(walker, "Take a photo")).to_be_focused()
    assert walker.page.evaluate(RUNNING) == 0
    take(walker)
    walker.field("Kind of document").select_option(label="Driving licence")
    expect(walker.field(PASSPORT)).to_have_count(0)
    walker.page.wait_for_function(f"{RUNNING} === 0")
    walker.field("Kind of document").select_option(label="Passport")
    take(walker)
    walker.press("Send")
    expect(walker.summary).to_be_visible()
    walker.page.wait_for_function(f"{RUNNING} === 0")


def test_a_photo_taken_instead_of_what_is_on_its_way_replaces_it(before_camera: Callable[..., Walker]) -> None:
    walker = at_pictures(before_camera().open())
    faster = slow_down(walker)
    choose(walker, given(photo()))
    expect(box(walker).locator(".percent")).to_have_text(re.compile(r"^\d+%$"))
    take(walker)
    expect(box(walker).locator(".transfer")).to_have_count(0)
    faster()
    walker.press("Take the photo")
    received(walker, "Photo.jpg")
    walker.press("Send").at("done")
    assert len(stored_by(walker)) == 1


def test_a_camera_that_is_refused_leaves_a_way_on(before_camera: Callable[..., Walker]) -> None:
    walker = at_pictures(before_camera(REFUSES).open())
    walker.press("Take a photo")
    expect(box(walker)).to_contain_text("The camera cannot be used here")
    expect(walker.root.locator("#picture-news")).to_contain_text("The camera cannot be used here")
    expect(button(walker, "Take a photo")).to_have_count(0)
    expect(walker.field(PASSPORT)).to_be_focused()
    link = box(walker).get_by_role("link", name="Contact support")
    expect(link).to_have_attribute("href", "https://trading.example/support")
    choose(walker, given(photo()))
    received(walker, "passport.jpg")
    walker.press("Send").at("done")
    walker.watch.is_clean()


@pytest.mark.parametrize("delegated", [True, False], ids=["delegated", "not-delegated"])
def test_a_frame_has_the_camera_only_where_the_partner_gives_it(
    before_camera: Callable[..., Walker], framed: Server, partner: PartnerSite, delegated: bool
) -> None:
    walker = before_camera(url=partner.url)
    walker.open("/plain")
    if not delegated:
        walker.page.locator("iframe").evaluate("(frame) => { frame.allow = ''; frame.src = frame.src; }")
    at_pictures(walker.inside())
    if delegated:
        take(walker)
        walker.press("Take the photo")
        received(walker, "Photo.jpg")
    else:
        walker.press("Take a photo")
        expect(box(walker)).to_contain_text("The camera cannot be used here")
        expect(button(walker, "Take a photo")).to_have_count(0)
        choose(walker, given(picture(), "passport.png", "image/png"))
        received(walker, "passport.png")
    walker.press("Send").at("done")


def test_without_a_secure_context_no_camera_is_offered(walk: Walk, cameras: dict[str, Browser]) -> None:
    context = cameras[AGREES].new_context(**DESKTOP)
    context.add_init_script("Object.defineProperty(Navigator.prototype, 'mediaDevices', {get: () => undefined})")
    walker = at_pictures(walk(context=context).open())
    expect(button(walker, "Take a photo")).to_have_count(0)
    choose(walker, given(picture(), "passport.png", "image/png"))
    received(walker, "passport.png")
    context.close()
