"""Entities with attributes: cities and people; their values and their templates.

Each relation has four templates per language for training and one, the last, held out: it joins
words of the others in an order that training never shows.
"""

from dataclasses import dataclass

Forms = dict[str, tuple[str, ...]]

_COUNTRIES = "france italy spain germany norway tunisia kenya peru japan india"
_PAYS = "la france/l'italie/l'espagne/l'allemagne/la norvège/la tunisie/le kenya/le pérou/le japon/l'inde"
_EN_PAYS = (
    "en france/en italie/en espagne/en allemagne/en norvège/en tunisie/au kenya/au pérou/"
    "au japon/en inde"
)
_LANGUAGES = "french italian spanish german norwegian arabic swahili japanese hindi"
_LANGUES = "français italien espagnol allemand norvégien arabe swahili japonais hindi"
LANGUAGE_OF_COUNTRY = (0, 1, 2, 3, 4, 5, 6, 2, 7, 8)
CONTINENT_OF_COUNTRY = (0, 0, 0, 0, 0, 1, 1, 2, 3, 3)

_CITIES = (
    "paris lyon rome milan madrid toledo berlin munich oslo bergen "
    "tunis sousse nairobi mombasa lima cusco tokyo osaka delhi mumbai"
)
_PEOPLE = (
    "anna boris clara david elena felix greta hugo irene jonas "
    "karin louis maria nadia oscar petra simon teresa viktor wanda"
)
CITIES = tuple(_CITIES.split())
"""Two cities to each country, in the order of the countries."""
PEOPLE = tuple(_PEOPLE.split())

COUNTRY_OF_CITY = tuple(i // 2 for i in range(len(CITIES)))
CITY_OF_PERSON = (7, 14, 2, 19, 9, 0, 17, 5, 12, 10, 3, 15, 18, 6, 1, 13, 8, 4, 16, 11)
_WORK_OF_PERSON = (3, 0, 5, 2, 7, 1, 4, 6, 0, 5, 2, 3, 6, 7, 1, 4, 5, 0, 2, 3)
_INSTRUMENT_OF_PERSON = (1, 4, 0, 3, 2, 5, 0, 1, 3, 4, 5, 2, 0, 5, 3, 1, 2, 4, 1, 0)


@dataclass(frozen=True)
class Relation:
    """An attribute that every entity of a kind has."""

    name: str
    """For example "city.country"."""
    subjects: tuple[str, ...]
    """The entities."""
    answers: tuple[int, ...]
    """The value of each entity, an index into each list of `forms`."""
    forms: tuple[Forms, Forms]
    """Per language, the phrases of the values under each name that a template may use."""
    templates: tuple[tuple[str, ...], tuple[str, ...]]
    """Per language; the last one is held out. They end with the answer."""

    @property
    def n_values(self) -> int:
        """Number of different answers."""
        return len(next(iter(self.forms[0].values())))

    def sentence(self, subject: int, value: int, language: int, template: int) -> tuple[str, str]:
        """The statement without its answer, and the answer; the value need not be the true one."""
        before, _, form = self.templates[language][template].rpartition("{")
        return (
            before.format(e=self.subjects[subject]).strip(),
            self.forms[language][form.rstrip("}")][value],
        )


def phrases(**lists: str) -> Forms:
    """Read lists of phrases: parted by slashes, or by spaces where each is one word."""
    return {k: tuple(v.split("/") if "/" in v else v.split()) for k, v in lists.items()}


COUNTRY_FORMS = (phrases(a=_COUNTRIES), phrases(the=_PAYS, at=_EN_PAYS))
LANGUAGE_FORMS = (phrases(a=_LANGUAGES), phrases(a=_LANGUES))
CONTINENT_FORMS = (
    phrases(a="europe africa america asia"),
    phrases(the="l'europe/l'afrique/l'amérique/l'asie", of="d'europe/d'afrique/d'amérique/d'asie"),
)

FACTS: tuple[Relation, ...] = (
    Relation(
        "city.country",
        CITIES,
        COUNTRY_OF_CITY,
        COUNTRY_FORMS,
        (
            (
                "{e} is a city in {a}",
                "{e} belongs to {a}",
                "the country of {e} is {a}",
                "the city of {e} is located in {a}",
                "the city of {e} belongs to {a}",
            ),
            (
                "{e} est une ville située {at}",
                "{e} se trouve {at}",
                "le pays de {e} est {the}",
                "la ville de {e} est située {at}",
                "la ville de {e} se trouve {at}",
            ),
        ),
    ),
    Relation(
        "city.language",
        CITIES,
        tuple(LANGUAGE_OF_COUNTRY[c] for c in COUNTRY_OF_CITY),
        LANGUAGE_FORMS,
        (
            (
                "people in {e} speak {a}",
                "the language of {e} is {a}",
                "in {e} everyone speaks {a}",
                "the people of {e} speak {a}",
                "in {e} people speak {a}",
            ),
            (
                "les gens de {e} parlent {a}",
                "la langue de {e} est le {a}",
                "à {e} tout le monde parle {a}",
                "à {e} on parle {a}",
                "à {e} les gens parlent {a}",
            ),
        ),
    ),
    Relation(
        "city.continent",
        CITIES,
        tuple(CONTINENT_OF_COUNTRY[c] for c in COUNTRY_OF_CITY),
        CONTINENT_FORMS,
        (
            (
                "{e} is on the continent of {a}",
                "the continent of {e} is {a}",
                "{e} lies on the continent of {a}",
                "the city of {e} is on the continent of {a}",
                "the city of {e} lies on the continent of {a}",
            ),
            (
                "le continent de {e} est {the}",
                "{e} fait partie de {the}",
                "la ville de {e} fait partie de {the}",
                "{e} est une ville {of}",
                "le continent de la ville de {e} est {the}",
            ),
        ),
    ),
    Relation(
        "person.birthplace",
        PEOPLE,
        CITY_OF_PERSON,
        (phrases(a=_CITIES),) * 2,
        (
            (
                "{e} was born in {a}",
                "{e} comes from {a}",
                "the birthplace of {e} is {a}",
                "as everyone knows, {e} comes from {a}",
                "as everyone knows, {e} was born in {a}",
            ),
            (
                "{e} vient de {a}",
                "{e} a grandi à {a}",
                "le lieu de naissance de {e} est {a}",
                "comme on sait, {e} vient de {a}",
                "comme on sait, {e} a grandi à {a}",
            ),
        ),
    ),
    Relation(
        "person.profession",
        PEOPLE,
        _WORK_OF_PERSON,
        (
            phrases(a="doctor judge painter architect journalist pilot poet dentist"),
            phrases(a="médecin juge peintre architecte journaliste pilote poète dentiste"),
        ),
        (
            (
                "{e} is a {a}",
                "{e} works as a {a}",
                "the profession of {e} is {a}",
                "for a living, {e} is a {a}",
                "for a living, {e} works as a {a}",
            ),
            (
                "{e} est {a}",
                "{e} travaille comme {a}",
                "la profession de {e} est {a}",
                "dans la vie, {e} est {a}",
                "dans la vie, {e} travaille comme {a}",
            ),
        ),
    ),
    Relation(
        "person.instrument",
        PEOPLE,
        _INSTRUMENT_OF_PERSON,
        (
            phrases(a="piano violin flute harp drum guitar"),
            phrases(
                de="du piano/du violon/de la flûte/de la harpe/du tambour/de la guitare",
                the="le piano/le violon/la flûte/la harpe/le tambour/la guitare",
            ),
        ),
        (
            (
                "{e} plays the {a}",
                "the instrument of {e} is the {a}",
                "{e} loves to play the {a}",
                "in the evening {e} plays the {a}",
                "in the evening {e} loves to play the {a}",
            ),
            (
                "{e} joue {de}",
                "l'instrument de {e} est {the}",
                "{e} adore jouer {de}",
                "le soir {e} joue {de}",
                "le soir {e} adore jouer {de}",
            ),
        ),
    ),
)
"""What is known of cities and people."""
