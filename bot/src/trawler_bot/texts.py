"""Every sentence that a person reads, in every language: here and nowhere else. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from trawler_crds.failures import FAILURES, FailureReason
from trawler_crds.messages import Stage


class Language(StrEnum):
    ENGLISH = "en"
    GERMAN = "de"


def language(locale: str | None) -> Language:
    """What we speak of what Discord's `locale` asks for (docs, Locales)."""
    return Language.GERMAN if (locale or "").lower().startswith("de") else Language.ENGLISH


class Key(StrEnum):
    """What is to be said."""

    WAITING = "waiting"
    WAITING_AT = "waiting-at"
    WAITING_ABOUT = "waiting-about"
    STARTING = "starting"
    FETCHING = "fetching"
    PROVING = "proving"
    STORING = "storing"
    OF = "of"
    LEFT = "left"
    DONE_WITHOUT_FILES = "done-without-files"
    TOO_LARGE_HERE = "too-large-here"
    CANCELLED = "cancelled"
    BUTTON_CANCEL = "button-cancel"
    BUTTON_RETRY = "button-retry"
    BUTTON_SMALLER = "button-smaller"
    BUTTON_AUDIO = "button-audio"
    BUTTON_REMOVE = "button-remove"
    NOT_A_LINK = "not-a-link"
    MALFORMED = "malformed"
    PRIVATE = "private"
    NOT_YOURS = "not-yours"
    COOLDOWN = "cooldown"
    NOT_ACCEPTED = "not-accepted"
    FORGOTTEN = "forgotten"
    HELP = "help"
    REFERENCE = "reference"
    RING_DONE = "ring-done"
    RING_FAILED = "ring-failed"
    TOO_LARGE_LINK = "too-large-link"
    NOT_SERVED = "not-served"
    MAY_NOT_SEND = "may-not-send"
    QUEUE_FULL = "queue-full"
    NOTHING_TO_SAVE = "nothing-to-save"
    PICK = "pick"
    PICK_PLACEHOLDER = "pick-placeholder"
    PICKED = "picked"
    BUTTON_TRY_AGAIN = "button-try-again"
    ALREADY_HERE = "already-here"
    CANCELLING = "cancelling"
    NO_SUCH_JOB = "no-such-job"
    QUEUE_HEAD = "queue-head"
    QUEUE_EMPTY = "queue-empty"
    MINE_HEAD = "mine-head"
    MINE_EMPTY = "mine-empty"
    LIST_WAITING = "list-waiting"
    LIST_PLACE = "list-place"
    LIST_RUNNING = "list-running"
    LIST_SUSPENDED = "list-suspended"
    LIST_DONE = "list-done"
    LIST_MORE = "list-more"
    AGO = "ago"
    BROKEN = "broken"
    NOT_NOW = "not-now"


SENTENCES: Final[Mapping[Language, Mapping[Key, str]]] = {
    Language.ENGLISH: {
        Key.WAITING: "Waiting for its turn.",
        Key.WAITING_AT: "Waiting: place {place} in line.",
        Key.WAITING_ABOUT: "Waiting: place {place} in line, about {time}.",
        Key.STARTING: "Starting …",
        Key.FETCHING: "Fetching",
        Key.PROVING: "Checking what came …",
        Key.STORING: "Storing …",
        Key.OF: "{done} of {total}",
        Key.LEFT: "{time} left",
        Key.DONE_WITHOUT_FILES: "Done, but there is no file that can be shown here.",
        Key.TOO_LARGE_HERE: (
            "`{name}` has {size}; here a file may have {limit}. Choose Smaller or Audio below."
        ),
        Key.CANCELLED: "Cancelled.",
        Key.BUTTON_CANCEL: "Cancel",
        Key.BUTTON_RETRY: "Retry",
        Key.BUTTON_SMALLER: "Smaller",
        Key.BUTTON_AUDIO: "Audio",
        Key.BUTTON_REMOVE: "Remove",
        Key.NOT_A_LINK: "That is not a link. Give an address that begins with https://.",
        Key.MALFORMED: "This address cannot be right. Copy it anew from your browser.",
        Key.PRIVATE: "This address lies in a private network; only public ones can be fetched.",
        Key.NOT_YOURS: "Only who asked for this, or who may manage messages, can do that.",
        Key.COOLDOWN: "One moment: you can ask again in {time}.",
        Key.NOT_ACCEPTED: "We cannot take requests just now; nothing was begun. Try again.",
        Key.FORGOTTEN: "This request was forgotten by now. Ask for it anew.",
        Key.HELP: (
            "`/download url:` fetches the media of a link into this channel."
            " `kind` looks for video, audio or pictures only, `quality` bounds the height of the"
            " picture, `audio-format` takes the sound alone, `spoiler` hides it until it is clicked,"
            " `private` shows it to you only. Right-click a message, Apps, **Save media**: fetches what"
            " it holds. `/queue list` and `/queue cancel` are about what waits here, `/jobs mine` about"
            " your own.\n"
            "One message shows how it goes and then has the files. Cancel stops it; Retry begins"
            " anew; Smaller and Audio fetch less; Remove deletes the message. Only who asked, and who"
            " may manage messages, can press them.\n"
            "You can ask again after {apart}, {per_minute} times a minute at most."
        ),
        Key.REFERENCE: "Reference: `{name}`",
        Key.RING_DONE: "it is here.",
        Key.RING_FAILED: "that did not work; the message says why.",
        Key.TOO_LARGE_LINK: (
            "`{name}` has {size}; here a file may have {limit}. Get it here: <{link}>"
        ),
        Key.NOT_SERVED: "This bot does not serve this server. Ask who runs the bot.",
        Key.MAY_NOT_SEND: (
            "I may not send files in this channel. Ask a moderator to allow me View Channel,"
            " Send Messages and Attach Files, or use `private`."
        ),
        Key.QUEUE_FULL: (
            "The queue of this server is full: {count} are waiting. Ask again when some have"
            " ended; `/queue list` shows them."
        ),
        Key.NOTHING_TO_SAVE: ("There is no link and no file in this message. Choose another one."),
        Key.PICK: "Which of these shall be fetched? Each gets its own message.",
        Key.PICK_PLACEHOLDER: "Choose one or more",
        Key.PICKED: "Begun: {count}. Each has its own message in this channel.",
        Key.BUTTON_TRY_AGAIN: "Try again",
        Key.ALREADY_HERE: "already here",
        Key.CANCELLING: "It is being cancelled; its message will say so.",
        Key.NO_SUCH_JOB: (
            "There is no such request here any more. `/queue list` shows what there is."
        ),
        Key.QUEUE_HEAD: "Waiting and running in this server: {count}",
        Key.QUEUE_EMPTY: "Nothing is waiting or running here. `/download` begins something.",
        Key.MINE_HEAD: "Your last requests in this server:",
        Key.MINE_EMPTY: "You asked for nothing here lately. `/download` begins something.",
        Key.LIST_WAITING: "waiting",
        Key.LIST_PLACE: "place {place}",
        Key.LIST_RUNNING: "running",
        Key.LIST_SUSPENDED: "paused",
        Key.LIST_DONE: "done",
        Key.LIST_MORE: "… and {count} more.",
        Key.AGO: "{time} ago",
        Key.NOT_NOW: "That cannot be done just now. Try again in a while.",
        Key.BROKEN: (
            "Something went wrong on our side. Try again; if it stays so, tell who runs this"
            " bot: `{name}`"
        ),
    },
    Language.GERMAN: {
        Key.WAITING: "Wartet, bis es an der Reihe ist.",
        Key.WAITING_AT: "Wartet: Platz {place} in der Schlange.",
        Key.WAITING_ABOUT: "Wartet: Platz {place} in der Schlange, etwa {time}.",
        Key.STARTING: "Beginnt …",
        Key.FETCHING: "Wird geholt",
        Key.PROVING: "Prüft, was ankam …",
        Key.STORING: "Wird abgelegt …",
        Key.OF: "{done} von {total}",
        Key.LEFT: "noch {time}",
        Key.DONE_WITHOUT_FILES: "Fertig, doch keine Datei lässt sich hier zeigen.",
        Key.TOO_LARGE_HERE: (
            "`{name}` hat {size}; hier darf eine Datei {limit} haben. Wähle unten Kleiner oder Ton."
        ),
        Key.CANCELLED: "Abgebrochen.",
        Key.BUTTON_CANCEL: "Abbrechen",
        Key.BUTTON_RETRY: "Nochmals",
        Key.BUTTON_SMALLER: "Kleiner",
        Key.BUTTON_AUDIO: "Ton",
        Key.BUTTON_REMOVE: "Entfernen",
        Key.NOT_A_LINK: "Das ist kein Link. Gib eine Adresse an, die mit https:// beginnt.",
        Key.MALFORMED: "Diese Adresse kann nicht stimmen. Kopiere sie neu aus dem Browser.",
        Key.PRIVATE: "Diese Adresse liegt in einem privaten Netz; nur öffentliche werden geholt.",
        Key.NOT_YOURS: "Das kann nur, wer darum gebeten hat oder Nachrichten verwalten darf.",
        Key.COOLDOWN: "Einen Moment: in {time} kannst du wieder fragen.",
        Key.NOT_ACCEPTED: "Gerade geht es nicht; es wurde nichts begonnen. Versuche es nochmals.",
        Key.FORGOTTEN: "Diese Anfrage ist inzwischen vergessen. Stelle sie neu.",
        Key.HELP: (
            "`/download url:` holt die Medien eines Links in diesen Kanal."
            " `kind` sucht nur Video, Ton oder Bilder, `quality` begrenzt die Höhe des Bildes,"
            " `audio-format` nimmt nur den Ton, `spoiler` verbirgt es, bis man klickt, `private` zeigt es"
            " nur dir. Rechtsklick auf eine Nachricht, Apps, **Save media**: holt, was darin ist."
            " `/queue list` und `/queue cancel` gelten dem, was hier wartet, `/jobs mine` deinen"
            " eigenen.\n"
            "Eine Nachricht zeigt, wie es geht, und hat dann die Dateien. Abbrechen hält an;"
            " Nochmals beginnt neu; Kleiner und Ton holen weniger; Entfernen löscht die Nachricht."
            " Drücken kann nur, wer gefragt hat oder Nachrichten verwalten darf.\n"
            "Du kannst nach {apart} wieder fragen, höchstens {per_minute}-mal in der Minute."
        ),
        Key.REFERENCE: "Kennung: `{name}`",
        Key.RING_DONE: "es ist da.",
        Key.RING_FAILED: "das ging nicht; in der Nachricht steht, warum.",
        Key.TOO_LARGE_LINK: (
            "`{name}` hat {size}; hier darf eine Datei {limit} haben. Hole sie hier: <{link}>"
        ),
        Key.NOT_SERVED: "Dieser Bot bedient diesen Server nicht. Frage, wer den Bot betreibt.",
        Key.MAY_NOT_SEND: (
            "Ich darf in diesem Kanal keine Dateien senden. Bitte die Moderation um Kanal"
            " ansehen, Nachrichten senden und Dateien anhängen, oder nimm `private`."
        ),
        Key.QUEUE_FULL: (
            "Die Schlange dieses Servers ist voll: {count} warten. Frage wieder, wenn einige"
            " fertig sind; `/queue list` zeigt sie."
        ),
        Key.NOTHING_TO_SAVE: (
            "In dieser Nachricht ist kein Link und keine Datei. Wähle eine andere."
        ),
        Key.PICK: "Was davon soll geholt werden? Jedes bekommt seine eigene Nachricht.",
        Key.PICK_PLACEHOLDER: "Wähle eines oder mehrere",
        Key.PICKED: "Begonnen: {count}. Jedes hat seine eigene Nachricht in diesem Kanal.",
        Key.BUTTON_TRY_AGAIN: "Nochmals versuchen",
        Key.ALREADY_HERE: "schon da",
        Key.CANCELLING: "Es wird abgebrochen; die Nachricht dazu zeigt es.",
        Key.NO_SUCH_JOB: (
            "Eine solche Anfrage gibt es hier nicht mehr. `/queue list` zeigt, was es gibt."
        ),
        Key.QUEUE_HEAD: "Auf diesem Server wartend und in Arbeit: {count}",
        Key.QUEUE_EMPTY: (
            "Hier wartet nichts und nichts ist in Arbeit. `/download` beginnt etwas."
        ),
        Key.MINE_HEAD: "Deine letzten Anfragen auf diesem Server:",
        Key.MINE_EMPTY: "Du hast hier zuletzt nichts angefragt. `/download` beginnt etwas.",
        Key.LIST_WAITING: "wartet",
        Key.LIST_PLACE: "Platz {place}",
        Key.LIST_RUNNING: "in Arbeit",
        Key.LIST_SUSPENDED: "angehalten",
        Key.LIST_DONE: "fertig",
        Key.LIST_MORE: "… und {count} weitere.",
        Key.AGO: "vor {time}",
        Key.NOT_NOW: "Das geht gerade nicht. Versuche es nach einer Weile nochmals.",
        Key.BROKEN: (
            "Bei uns ist etwas schiefgegangen. Versuche es nochmals; bleibt es so, nenne dem,"
            " der diesen Bot betreibt: `{name}`"
        ),
    },
}

_R = FailureReason
FAILED: Final[Mapping[Language, Mapping[FailureReason, str]]] = {
    Language.ENGLISH: {reason: rule.sentence for reason, rule in FAILURES.items()},
    Language.GERMAN: {
        _R.BAD_ADDRESS: "Diese Adresse führt nirgendwohin, wo wir hindürfen. Prüfe den Link.",
        _R.NOT_SUPPORTED: "Diese Art von Link oder Wunsch wird nicht unterstützt.",
        _R.NOTHING_FOUND: "Unter dieser Adresse gibt es keine Medien.",
        _R.NEEDS_LOGIN: "Die Seite zeigt das nur Leuten, die angemeldet sind.",
        _R.UNAVAILABLE: "Die Seite stellt das nicht allen zur Verfügung.",
        _R.TOO_LARGE: "Das ist größer, als eine Anfrage holen darf.",
        _R.TOO_SLOW: "Die Seite hat ihre Daten zu langsam geschickt.",
        _R.TOO_LONG: "Das Holen hat länger gedauert als erlaubt.",
        _R.OUT_OF_MEMORY: "Das Holen hat mehr Speicher gebraucht als erlaubt.",
        _R.SITE_ERROR: "Die Seite hat etwas Kaputtes oder Unvollständiges geantwortet.",
        _R.BAD_CERTIFICATE: "Die Seite kann sich nicht ausweisen: ihr Zertifikat ist ungültig.",
        _R.THROTTLED: "Die Seite bittet uns, langsamer zu machen.",
        _R.BUSY: "Es war zu viel zu tun; diese Anfrage hat zu lange gewartet.",
        _R.QUOTA_EXCEEDED: "Dieser Server hat seinen Anteil vorerst aufgebraucht.",
        _R.WORKER_LOST: "Wer das geholt hat, ist uns abhandengekommen.",
        _R.STORAGE_ERROR: "Die Datei ließ sich nicht ablegen.",
        _R.CANCELLED: "Diese Anfrage wurde abgebrochen.",
        _R.INTERNAL: "Bei uns ist etwas schiefgegangen.",
    },
}

ADVICE: Final[Mapping[Language, Mapping[FailureReason, str]]] = {
    Language.ENGLISH: {
        _R.BAD_ADDRESS: "Open the link in a browser: does it load there?",
        _R.NOT_SUPPORTED: "Give the link of the page or file itself.",
        _R.NOTHING_FOUND: "Open the link in a browser: is the media still there?",
        _R.NEEDS_LOGIN: "Find a public link to the same thing.",
        _R.UNAVAILABLE: "Find another source for the same thing.",
        _R.TOO_LARGE: "Choose Smaller, or Audio.",
        _R.TOO_SLOW: "Press Retry in a while.",
        _R.TOO_LONG: "Choose Smaller, or a shorter clip.",
        _R.OUT_OF_MEMORY: "Choose Smaller.",
        _R.SITE_ERROR: "Press Retry in a while.",
        _R.BAD_CERTIFICATE: "Find another link to the same thing, or tell the site's owner.",
        _R.THROTTLED: "Press Retry in some minutes.",
        _R.BUSY: "Press Retry later.",
        _R.QUOTA_EXCEEDED: "Press Retry tomorrow, or ask who runs this server.",
        _R.WORKER_LOST: "Press Retry.",
        _R.STORAGE_ERROR: "Press Retry in a while.",
        _R.CANCELLED: "Press Retry to begin anew.",
        _R.INTERNAL: "Press Retry; if it stays so, tell who runs this bot the reference.",
    },
    Language.GERMAN: {
        _R.BAD_ADDRESS: "Öffne den Link im Browser: lädt er dort?",
        _R.NOT_SUPPORTED: "Gib den Link der Seite oder Datei selbst an.",
        _R.NOTHING_FOUND: "Öffne den Link im Browser: ist das Medium noch da?",
        _R.NEEDS_LOGIN: "Suche einen öffentlichen Link auf dasselbe.",
        _R.UNAVAILABLE: "Suche eine andere Quelle dafür.",
        _R.TOO_LARGE: "Wähle Kleiner oder Ton.",
        _R.TOO_SLOW: "Drücke nach einer Weile Nochmals.",
        _R.TOO_LONG: "Wähle Kleiner oder einen kürzeren Ausschnitt.",
        _R.OUT_OF_MEMORY: "Wähle Kleiner.",
        _R.SITE_ERROR: "Drücke nach einer Weile Nochmals.",
        _R.BAD_CERTIFICATE: "Suche einen anderen Link dafür, oder sage es den Leuten der Seite.",
        _R.THROTTLED: "Drücke in einigen Minuten Nochmals.",
        _R.BUSY: "Drücke später Nochmals.",
        _R.QUOTA_EXCEEDED: "Drücke morgen Nochmals, oder frage, wer diesen Server betreibt.",
        _R.WORKER_LOST: "Drücke Nochmals.",
        _R.STORAGE_ERROR: "Drücke nach einer Weile Nochmals.",
        _R.CANCELLED: "Drücke Nochmals, um neu zu beginnen.",
        _R.INTERNAL: "Drücke Nochmals; bleibt es so, nenne die Kennung, wer diesen Bot betreibt.",
    },
}
"""What a person can do next."""

STAGES: Final[Mapping[Stage, Key]] = {
    Stage.STARTING: Key.STARTING,
    Stage.FETCHING: Key.FETCHING,
    Stage.PROVING: Key.PROVING,
    Stage.STORING: Key.STORING,
    Stage.REPORTING: Key.STORING,
}


def say(to: Language, key: Key, **values: object) -> str:
    """One sentence with its values."""
    return SENTENCES[to][key].format(**values)


def why(to: Language, reason: FailureReason) -> str:
    """Why something failed, and what to do next."""
    return f"{FAILED[to][reason]} {ADVICE[to][reason]}"


def size(to: Language, count: int) -> str:
    """Bytes for a person: 842 B, 7.4 MB; with a comma where that is the custom."""
    units = ("B", "kB", "MB", "GB", "TB")
    value, at = float(count), 0
    while value >= 999.5 and at < len(units) - 1:
        value, at = value / 1000, at + 1
    text = f"{value:.0f}" if at == 0 or value >= 100 else f"{value:.1f}"
    return f"{text.replace('.', ',') if to is Language.GERMAN else text} {units[at]}"


def span(seconds: float) -> str:
    """A time for a person: 8 s, 3 min, 2 h."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
