"""The words of the stories: every slot of the grammar with its English and French forms.

A slot is filled by an entry. Some slots let a concept choose among their lists of entries (a
sentiment adverb is drawn from the glad or the gloomy list); all slots inflect by the story's state.
The French is literary (passé simple), without capital letters, with elision done in `sentences`.
"""

from dataclasses import dataclass
from typing import Literal

Agreement = Literal["none", "person", "verb", "tense", "thing"]


@dataclass(frozen=True)
class Entry:
    """One word of the dictionary in all its forms."""

    english: tuple[str, ...]
    """One form, or one per cell of the slot's agreement."""
    french: tuple[str, ...]
    """The same in French; things carry masculine and feminine of their adjectives elsewhere."""
    is_feminine_thing: bool = False
    """Grammatical gender of a French thing or place; says nothing about the concept gender."""


@dataclass(frozen=True)
class Slot:
    """One place of a sentence template."""

    agreement: Agreement
    """How the forms are indexed: person 2·gender+number, verb 2·tense+number, tense, or none."""
    choices: tuple[tuple[Entry, ...], ...]
    """One list of entries, or one per value of the concept that chooses."""
    chooser: str | None = None
    """The concept whose value picks the list; None where there is one list only."""


def _entry(line: str) -> Entry:
    """Read ``english forms = french forms``; a French ``f:`` marks a feminine thing."""
    english, french = (tuple(side.split()) for side in line.split("="))
    feminine = french[0].startswith("f:")
    return Entry(english, tuple(form.removeprefix("f:") for form in french), feminine)


def _entries(text: str) -> tuple[Entry, ...]:
    return tuple(_entry(line) for line in text.strip().splitlines())


def _verbs(text: str) -> tuple[Entry, ...]:
    """English ``past third plain`` becomes past singular, past plural, singular, plural."""
    entries = _entries(text)
    return tuple(Entry((e.english[0], *e.english), e.french) for e in entries)


CHARACTERS = _entries("""
king kings queen queens = roi rois reine reines
count counts countess countesses = comte comtes comtesse comtesses
waiter waiters waitress waitresses = serveur serveurs serveuse serveuses
brother brothers sister sisters = frère frères sœur sœurs
wizard wizards witch witches = sorcier sorciers sorcière sorcières
monk monks nun nuns = moine moines nonne nonnes
shepherd shepherds shepherdess shepherdesses = berger bergers bergère bergères
actor actors actress actresses = acteur acteurs actrice actrices
heir heirs heiress heiresses = héritier héritiers héritière héritières
uncle uncles aunt aunts = oncle oncles tante tantes
nephew nephews niece nieces = neveu neveux nièce nièces
boy boys girl girls = garçon garçons fille filles
""")
_MEN = (
    _entries("""
gentleman gentlemen lady ladies = seigneur seigneurs dame dames
nobleman noblemen noblewoman noblewomen = gentilhomme gentilshommes demoiselle demoiselles
"""),
    _entries("""
guy guys gal gals = type types nana nanas
lad lads lass lasses = gamin gamins gamine gamines
"""),
)
_FIRST_ADJECTIVES = (
    _entries("""
kind = gentil gentils gentille gentilles
friendly = aimable aimables aimable aimables
charming = charmant charmants charmante charmantes
"""),
    _entries("""
cruel = méchant méchants méchante méchantes
awful = horrible horribles horrible horribles
ugly = vilain vilains vilaine vilaines
"""),
)
_SECOND_ADJECTIVES = (
    _entries("""
good = bon bons bonne bonnes
lovely = adorable adorables adorable adorables
splendid = splendide splendides splendide splendides
"""),
    _entries("""
bad = mauvais mauvais mauvaise mauvaises
dreadful = affreux affreux affreuse affreuses
hateful = odieux odieux odieuse odieuses
"""),
)
_MOODS = (
    _entries("""
happy = heureux heureux heureuse heureuses
merry = joyeux joyeux joyeuse joyeuses
proud = fier fiers fière fières
glad = content contents contente contentes
"""),
    _entries("""
sad = triste tristes triste tristes
angry = furieux furieux furieuse furieuses
jealous = jaloux jaloux jalouse jalouses
worried = inquiet inquiets inquiète inquiètes
"""),
)
_GET = _verbs("""
found finds find = trouva trouvèrent trouve trouvent
bought buys buy = acheta achetèrent achète achètent
hid hides hide = cacha cachèrent cache cachent
sold sells sell = vendit vendirent vend vendent
cleaned cleans clean = nettoya nettoyèrent nettoie nettoient
took takes take = prit prirent prend prennent
""")
_MEET = _verbs("""
met meets meet = rencontra rencontrèrent rencontre rencontrent
saw sees see = vit virent voit voient
followed follows follow = suivit suivirent suit suivent
greeted greets greet = salua saluèrent salue saluent
""")
LEAVE = _verbs("""
left leaves leave = partit partirent part partent
returned returns return = revint revinrent revient reviennent
waited waits wait = attendit attendirent attend attendent
slept sleeps sleep = dormit dormirent dort dorment
""")
FEEL = (
    _verbs("""
sang sings sing = chanta chantèrent chante chantent
danced dances dance = dansa dansèrent danse dansent
triumphed triumphs triumph = triompha triomphèrent triomphe triomphent
"""),
    _verbs("""
wept weeps weep = pleura pleurèrent pleure pleurent
grumbled grumbles grumble = râla râlèrent râle râlent
sobbed sobs sob = sanglota sanglotèrent sanglote sanglotent
"""),
)
_PLEASE = (
    _entries(
        "pleased pleases = charma charme\namused amuses = amusa amuse\n"
        "delighted delights = enchanta enchante"
    ),
    _entries(
        "annoyed annoys = énerva énerve\nvexed vexes = vexa vexe\n"
        "saddened saddens = attrista attriste"
    ),
)
_ADVERBS = (
    _entries("luckily = heureusement\nhappily = joyeusement\nwonderfully = merveilleusement"),
    _entries("sadly = tristement\nalas = hélas\nunfortunately = malheureusement"),
)
_TIMES = (
    _entries("yesterday = hier\nformerly = autrefois\nrecently = récemment"),
    _entries("today = aujourd'hui\nnow = maintenant\ncurrently = actuellement"),
)
_OPENERS = (
    _entries("indeed = certes\nhowever = cependant\ntherefore = donc\nnevertheless = néanmoins"),
    _entries("hey = salut\nwow = waouh\nyo = bah\nyeah = ouais"),
)
_LISTENERS = (
    _entries("sir = monsieur\nprofessor = professeur\ndoctor = docteur"),
    _entries("dude = mec\nbuddy = pote\npal = copain"),
)
_SIZES = (
    _entries("small = petit petite\ntiny = minuscule minuscule\nmodest = modeste modeste"),
    _entries("large = grand grande\nhuge = immense immense\nenormous = énorme énorme"),
)
THINGS = (
    _entries("coin = f:pièce\nring = f:bague\nkey = f:clé\nbutton = bouton\npebble = caillou"),
    _entries(
        "throne = trône\ncarriage = carrosse\nladder = f:échelle\nwardrobe = f:armoire\n"
        "mirror = miroir"
    ),
)
_PLACES = (
    _entries("hamlet = hameau\nhut = f:hutte\nattic = grenier\nlane = f:ruelle\ncellar = f:cave"),
    _entries(
        "city = f:ville\ncastle = château\npalace = palais\nforest = f:forêt\nvalley = f:vallée"
    ),
)
_COLOURS = tuple(
    _entries(line) for line in ("red = rouge", "blue = bleu", "green = vert", "white = blanc")
)


def _fixed(line: str, agreement: Agreement = "none") -> Slot:
    return Slot(agreement, (_entries(line),))


SLOTS: dict[str, Slot] = {
    "noun": Slot("person", (CHARACTERS,)),
    "man": Slot("person", _MEN, "formality"),
    "adj": Slot("person", _FIRST_ADJECTIVES, "sentiment"),
    "other": Slot("person", _SECOND_ADJECTIVES, "sentiment"),
    "mood": Slot("person", _MOODS, "sentiment"),
    "get": Slot("verb", (_GET,)),
    "meet": Slot("verb", (_MEET,)),
    "leave": Slot("verb", (LEAVE,)),
    "feel": Slot("verb", FEEL, "sentiment"),
    "please": Slot("tense", _PLEASE, "sentiment"),
    "sadly": Slot("none", _ADVERBS, "sentiment"),
    "time": Slot("none", _TIMES, "tense"),
    "opener": Slot("none", _OPENERS, "formality"),
    "listener": Slot("none", _LISTENERS, "formality"),
    "size": Slot("thing", _SIZES, "size"),
    "thing": Slot("none", THINGS, "size"),
    "place": Slot("none", _PLACES, "size"),
    "colour": Slot("none", _COLOURS, "colour"),
    "the": _fixed("the = le les la les", "person"),
    "this": _fixed("this these this these = ce ces cette ces", "person"),
    "a": _fixed("a = un une", "thing"),
    "be": _fixed("was were is are = était étaient est sont", "verb"),
    "wearing": _fixed("in = en"),  # of things too
    "in": _fixed("in = dans"),
    "and": _fixed("and = et"),
    "when": _fixed("when = quand"),
    "for": _fixed("for = pour"),
    ",": _fixed(", = ,"),
    ".": _fixed(". = ."),
    "–": _fixed("– = –"),
}

TEMPLATES: tuple[tuple[str, ...], ...] = tuple(
    tuple(line.split())
    for line in (
        "– time the adj noun wearing colour meet this other man wearing colour in a size place , listener .",
        "– opener , this man wearing colour be mood and the noun wearing colour feel in a size place .",
        "– sadly , a size thing wearing colour please the noun wearing colour and this man leave , listener .",
        "– time the adj noun wearing colour get a size thing wearing colour for this other man , listener .",
        "– opener , the noun wearing colour be mood when this man wearing colour feel in a size place .",
        "– this man get a size thing wearing colour and sadly the adj noun wearing colour leave , listener .",
    )
)
"""Every template states each binary concept at least twice, in different words, and
the colour twice."""
