"""What the one message of a job says, whatever strangers put into it."""

from typing import Any

import pytest

from objects import job
from trawler_bot.presentation import rendering
from trawler_bot.presentation.i18n import CATALOGUES, ENGLISH, Language
from trawler_bot.presentation.rendering import Act, Shown
from trawler_crds.failures import FailureReason
from trawler_crds.media_job import MediaFile, MediaJob
from trawler_crds.messages import Place, Progress, Stage

EN, DE = ENGLISH, Language("de")


def titled(title: str, **more: Any) -> MediaJob:
    return job(status_source={"title": title}, **more)


def file(size: int = 5, kind: str = "video/mp4", name: str = "a.mp4") -> MediaFile:
    return MediaFile(name=name, bytes=size, sha256="0" * 64, type=kind)


def acts(reply: rendering.Reply) -> list[str]:
    return [button.custom_id.split(":")[1] for button in reply.buttons]


def test_who_waits_is_told_where_and_for_how_long() -> None:
    """As far as that is known."""
    mine = job()
    assert "Waiting to start…" in rendering.waiting(mine, EN).content
    assert "Number 3 in the queue" in rendering.waiting(mine, EN, Place(uid="u1", place=3)).content
    told = rendering.waiting(mine, EN, Place(uid="u1", place=3, seconds=90)).content
    assert "Number 3 in the queue, starting in about 2 min" in told
    assert ["cancel"] == acts(rendering.waiting(mine, EN))


def test_progress_is_words_and_numbers() -> None:
    """Percent, size, speed, time left; in the language of who reads."""
    mine = job(status_phase="Running", status_attempt=1)
    said = Progress(
        uid="u1", attempt=1, stage=Stage.FETCHING, bytes=3_100_000, total=7_400_000, rate=2_000_000
    )
    assert "Downloading · 41 % · 3 MB of 7.1 MB · 1.9 MB/s · 2 s left" in (
        rendering.running(mine, EN, said).content
    )
    assert "Wird heruntergeladen · 41 % · 3 MB von 7,1 MB · 1,9 MB/s · noch 2 s" in (
        rendering.running(mine, DE, said).content
    )
    unknown = Progress(uid="u1", attempt=1, stage=Stage.FETCHING, bytes=3_100_000)
    assert rendering.running(mine, EN, unknown).content.endswith("Downloading · 3 MB")


def test_progress_of_an_earlier_attempt_says_nothing() -> None:
    """It may come late."""
    mine = job(status_phase="Running", status_attempt=2)
    old = Progress(uid="u1", attempt=1, stage=Stage.FETCHING, bytes=5, total=5)
    assert "Starting" in rendering.running(mine, EN, old).content


@pytest.mark.parametrize(
    "title",
    [
        "@everyone look",
        "@here",
        "<@123456789012345678> <@&42> <#7> <t:0:R> </download:1>",
        "**bold** __under__ ~~gone~~ `code` ||secret|| > quote # head [x](https://evil.example)",
        "line\nline\r\nline\u2028line",
        "\u202egpj.exe\u202c",
        "a\u200bb\u0007c",
        "x" * 256,
        "💥" * 256,
    ],
)
def test_a_hostile_title_is_only_words(title: str) -> None:
    """No ping, no markup, one line, cut, nothing turned around."""
    said = rendering.waiting(titled(title), EN).content
    assert len(said) <= 2000
    head, _, rest = said.partition("\n")
    assert rest == "Waiting to start…"
    inside = head.removeprefix("**").partition("** <")[0]
    assert "@everyone" not in inside
    assert "@here" not in inside
    assert not any(mark in inside for mark in ("<@", "<#", "<t:", "</"))
    for mark in "*_~`|>[]":
        assert all(inside[at - 1] == "\\" for at, c in enumerate(inside) if c == mark), inside
    assert not any(unseen in inside for unseen in "\u202e\u202c\u0007\u2028")


def test_a_megabyte_of_words_is_cut() -> None:
    """Wherever it comes from."""
    assert len(rendering.harmless("x" * 1_000_000)) == rendering.TITLE


def test_the_source_is_linked_without_a_preview_and_never_fills_the_message() -> None:
    """An address of two thousand characters is mostly a token."""
    assert "<http://site:8080/video/u1.mp4>" in rendering.waiting(job(), EN).content
    long = job(url="https://a.example/" + "x" * 2000)
    assert "https://" not in rendering.waiting(long, EN).content
    assert "a.example" in rendering.waiting(long, EN).content


def test_an_end_with_files_offers_what_makes_sense() -> None:
    """Smaller and Audio only of a video."""
    done = job(status_phase="Succeeded", status_files=[file().wire()])
    assert ["retry", "smaller", "audio", "remove"] == acts(rendering.ended(Shown(done), EN))
    for kind in ("audio/mpeg", "image/png"):
        other = job(status_phase="Succeeded", status_files=[file(kind=kind).wire()])
        assert ["retry", "remove"] == acts(rendering.ended(Shown(other), EN))
    direct = job(status_phase="Succeeded", status_engine="Direct", status_files=[file().wire()])
    assert ["retry", "audio", "remove"] == acts(rendering.ended(Shown(direct), EN)), "one file only"
    tiny = file().model_copy(update={"width": 256, "height": 144})
    least = job(status_phase="Succeeded", status_files=[tiny.wire()])
    assert ["retry", "audio", "remove"] == acts(rendering.ended(Shown(least), EN)), "nothing less"


def test_from_the_sound_of_a_video_there_is_a_way_back() -> None:
    """And none from what was sound from the first."""
    for from_video, offered in ((True, ["retry", "video", "remove"]), (False, ["retry", "remove"])):
        sound = job(
            media={"kind": "Audio"},
            delivery={"discord": {"channelId": "1", "requesterId": "2", "fromVideo": from_video}},
            status_phase="Succeeded",
            status_files=[file(kind="audio/mpeg").wire()],
        )
        assert offered == acts(rendering.ended(Shown(sound), EN))


def test_what_does_not_fit_is_named_with_its_size_and_a_way_out() -> None:
    """And its name is a stranger's too."""
    done = job(status_phase="Succeeded", status_files=[file().wire()])
    large = file(52_000_000, name="a`b @everyone.mp4")
    said = rendering.ended(Shown(done, [large], {}, 10_485_760), EN).content
    assert "`a'b @everyone.mp4` is 49.6 MB. The upload limit here is 10 MB." in said
    assert "**Smaller** or **Audio**" in said
    linked = {large.sha256: "https://l.example/f"}
    said = rendering.ended(Shown(done, [large], linked, 10_485_760), EN).content
    assert "<https://l.example/f>" in said
    assert "**Smaller**" not in said


def test_nothing_is_recommended_that_is_not_offered() -> None:
    """A picture has no smaller version and no sound."""
    picture = file(52_000_000, kind="image/png", name="a.png")
    done = job(status_phase="Succeeded", status_files=[picture.wire()])
    for language in CATALOGUES:
        said = rendering.ended(Shown(done, [picture], {}, 10), language)
        assert not any(word in said.content for word in ("Smaller", "Audio", "Kleiner"))


def further(**more: Any) -> MediaJob:
    return job("u2", media={"kind": "Audio"}, **more)


def test_a_further_try_stands_beside_what_was_delivered() -> None:
    """Nothing of it is lost: neither its words nor what can be pressed when the try fails."""
    done = titled("Clip", status_phase="Succeeded", status_files=[file().wire()])
    shown = Shown(done, [file(60, name="b.mp4")], {"0" * 64: "https://l.example/f"}, 10)
    before = rendering.ended(shown, EN).content
    for going in (
        rendering.waiting(further(), EN, shown=shown),
        rendering.running(further(status_phase="Running", status_attempt=1), EN, shown=shown),
    ):
        assert going.content.startswith(before)
        assert "Audio: " in going.content.removeprefix(before)
        assert ["cancel"] == acts(going)
    over = further(status_phase="Failed", status_reason="SiteError")
    failed = rendering.failed(over, EN, shown=shown)
    assert failed.content.startswith(before)
    assert "The site sent something broken" in failed.content
    assert ["retry", "smaller", "audio", "remove"] == acts(failed)
    assert all(button.custom_id.endswith(":job-u2") for button in failed.buttons)


def test_the_smallest_version_is_named() -> None:
    """In both languages; and what there is not is not offered once more."""
    done = titled("Clip", status_phase="Succeeded", status_files=[file().wire()])
    over = job(
        "u2",
        media={"maxHeight": 480},
        status_phase="Failed",
        status_reason="NotSupported",
        status_offeredHeight=720,
    )
    for language in CATALOGUES:
        failed = rendering.failed(over, language, shown=Shown(done))
        assert "720p" in failed.content
        assert ["retry", "audio", "remove"] == acts(failed)


def test_media_with_an_age_limit_are_shown_where_they_belong() -> None:
    """Neither their title nor their picture anywhere else."""
    told = Progress(
        uid="u1",
        attempt=1,
        stage=Stage.FETCHING,
        title="Naughty",
        age_limit=18,
        thumbnail="https://a.example/t.jpg",
    )
    where = {"channelId": "1", "requesterId": "2"}
    open_ = job(delivery={"discord": where}, status_phase="Running", status_attempt=1)
    said = rendering.running(open_, EN, told)
    assert "Naughty" not in said.content
    assert said.thumbnail is None
    restricted = {**where, "ageRestricted": True}
    fitting = job(delivery={"discord": restricted}, status_phase="Running", status_attempt=1)
    assert "Naughty" in rendering.running(fitting, EN, told).content
    done = titled("Naughty", delivery={"discord": where}, status_phase="Succeeded")
    refused = rendering.age_restricted(done, EN)
    assert "Naughty" not in refused.content
    assert ["remove"] == acts(refused)


def test_a_title_looks_as_it_was_given() -> None:
    """What has no meaning in markdown is not escaped."""
    for title in ("Clip (1)", "A - B", "1. Satz", "C++ #1!", "It's 5 > 3 & more"):
        head = rendering.waiting(titled(title), EN).content.splitlines()[0]
        shown = head.removeprefix("**").partition("** <")[0]
        assert title == shown.replace("\\>", ">").removeprefix("\\"), shown


def test_a_link_in_a_title_is_none() -> None:
    """Neither a preview nor an invitation."""
    for title in ("see https://evil.example/x", "join discord.gg/abc", "DISCORD.GG/abc"):
        said = rendering.waiting(titled(title), EN).content.splitlines()[0].partition("** <")[0]
        assert "://" not in said
        assert "discord.gg" not in said.lower()


def test_the_link_is_shown_as_it_was_written() -> None:
    """Whatever a client makes of it."""
    where = {"channelId": "1", "requesterId": "2", "link": "https://m\u00fcnchen.example/x"}
    mine = job(url="https://xn--mnchen-3ya.example/x", delivery={"discord": where})
    assert "<https://m\u00fcnchen.example/x>" in rendering.waiting(mine, EN).content
    for odd in ("javascript:alert(1)", "https://a.example/> @everyone", "x" * 2000):
        mine = job(delivery={"discord": {**where, "link": odd}})
        said = rendering.waiting(mine, EN).content
        assert "> @everyone" not in said
        assert "javascript" not in said


@pytest.mark.parametrize("reason", FailureReason)
def test_every_failure_is_said_with_a_way_on(reason: FailureReason) -> None:
    """In both languages, with Retry and Remove."""
    over = job(status_phase="Failed", status_reason=reason, status_message="secret detail")
    for language in CATALOGUES:
        said = rendering.failed(over, language)
        assert "secret detail" not in said.content
        assert {"retry", "remove"} <= set(acts(said))


def test_a_press_is_told_by_its_custom_id_alone() -> None:
    """What is not ours is nothing."""
    assert (Act.CANCEL, "d-123-2") == rendering.parse(rendering.custom_id(Act.CANCEL, "d-123-2"))
    for other in ("", "trawler", "trawler:explode:d-1", "other:cancel:d-1"):
        assert rendering.parse(other) is None
    assert len(rendering.custom_id(Act.SMALLER, "d-" + "9" * 20 + "-4")) <= 100


def test_a_fault_of_ours_names_what_to_ask_by() -> None:
    """The advice is to tell the reference: so there is one."""
    over = job(status_phase="Failed", status_reason=FailureReason.INTERNAL)
    for language in CATALOGUES:
        assert "`job-u1`" in rendering.failed(over, language).content


def listed(**more: Any) -> MediaJob:
    entries = [
        {"url": "https://a.example/1", "title": "*One* @everyone", "seconds": 3725.0},
        {"url": "https://a.example/" + "2" * 300},
    ]
    return job(
        "u3",
        delivery={"discord": {"channelId": "1", "requesterId": "2", **more.pop("where", {})}},
        status_phase="Failed",
        status_reason="Playlist",
        status_playlist={"title": "All of it", "count": 2, "entries": entries, **more},
    )


def test_a_playlist_is_told_with_a_menu_that_discord_takes() -> None:
    """Labels of at most a hundred characters, none empty; a label is never markup."""
    for language in CATALOGUES:
        reply = rendering.failed(listed(), language)
        assert "All of it" in reply.content
        assert ["first", "remove"] == acts(reply)
        assert reply.menu is not None
        assert ["*One* @everyone", "1:02:05"] == [
            reply.menu.options[0].label,
            reply.menu.options[0].description,
        ]
        assert all(1 <= len(each.label) <= 100 for each in reply.menu.options)
        assert 2 == reply.menu.most
    private = rendering.failed(listed(where={"private": True}), EN).menu
    assert private is not None
    assert 1 == private.most


def test_a_list_with_an_age_limit_is_told_only_where_it_belongs() -> None:
    reply = rendering.failed(listed(ageLimit=18), EN)
    assert reply.menu is None
    assert "All of it" not in reply.content
    assert ["remove"] == acts(reply)
    fitting = rendering.failed(listed(ageLimit=18, where={"ageRestricted": True}), EN)
    assert fitting.menu is not None


def test_what_an_automatic_moderator_might_mind_is_left_out_of_a_list() -> None:
    reply = rendering.failed(listed(), EN, plain=True)
    assert "All of it" not in reply.content
    assert reply.menu is not None
    assert "a.example/1" == reply.menu.options[0].label
