"""Subtitles of the generated clip, in three languages, each in a different format."""

from typing import Final

LANGUAGES: Final = ("en", "de", "fr")
WORDS: Final = {
    "en": ("One & only", "Two", "Three"),
    "de": ("Eins & einzig", "Zwei", "Drei"),
    "fr": ("Un & unique", "Deux", "Trois"),
}
"""The text of each second, from the first on."""
TYPES: Final = {"srt": "application/x-subrip", "vtt": "text/vtt", "ass": "text/x-ssa"}
ENDINGS: Final = {"en": "srt", "de": "vtt", "fr": "ass"}
"""The format in which the site offers each language."""
_STYLES: Final = """[Script Info]
ScriptType: v4.00+
PlayResX: 320
PlayResY: 240

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Sans,24,&H0000FFFF,&H000000FF,&H00000000,&H00000000,\
0,0,0,0,100,100,0,0,1,2,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def subtitles(language: str, ending: str) -> str:
    """The subtitles of one language; each line lasts 0.8 seconds. Raises KeyError for an unknown
    language.
    """
    lines = list(enumerate(WORDS[language]))
    if ending == "ass":
        return _STYLES + "".join(
            f"Dialogue: 0,0:00:0{at}.00,0:00:0{at}.80,Default,,0,0,0,,{words}\n"
            for at, words in lines
        )
    if ending == "vtt":
        cues = (
            f"{at + 1}\n00:0{at}.000 --> 00:0{at}.800 align:start\n<v"
            f" Voice>{words.replace('&', '&amp;')}\n"
            for at, words in lines
        )
        return (
            "WEBVTT\nKind: captions\n\nSTYLE\n::cue { color: lime }\n\nNOTE of nobody\n\n"
            + "\n".join(cues)
        )
    return "\r\n".join(
        f"{at + 1}\r\n00:00:0{at},000 --> 00:00:0{at},800\r\n<i>{words}</i>\r\n"
        for at, words in lines
    )
