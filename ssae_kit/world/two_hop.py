"""Two-hop questions: a person's birthplace first, then what is known of that city."""

from ssae_kit.world.entities import (
    CITY_OF_PERSON,
    CONTINENT_FORMS,
    CONTINENT_OF_COUNTRY,
    COUNTRY_FORMS,
    COUNTRY_OF_CITY,
    LANGUAGE_FORMS,
    LANGUAGE_OF_COUNTRY,
    PEOPLE,
    Relation,
)

_HOME = tuple(COUNTRY_OF_CITY[c] for c in CITY_OF_PERSON)

TWO_HOP: tuple[Relation, ...] = (
    Relation(
        "person.country",
        PEOPLE,
        _HOME,
        COUNTRY_FORMS,
        (
            (
                "{e} was born in a city in {a}",
                "the country of the city where {e} was born is {a}",
                "the birthplace of {e} is a city in {a}",
                "{e} comes from a city located in {a}",
                "{e} comes from a city in {a}",
            ),
            (
                "{e} vient d'une ville située {at}",
                "le pays de la ville natale de {e} est {the}",
                "{e} a grandi dans une ville située {at}",
                "la ville natale de {e} est située {at}",
                "la ville natale de {e} se trouve {at}",
            ),
        ),
    ),
    Relation(
        "person.language",
        PEOPLE,
        tuple(LANGUAGE_OF_COUNTRY[c] for c in _HOME),
        LANGUAGE_FORMS,
        (
            (
                "{e} was born in a city where people speak {a}",
                "the language of the city where {e} was born is {a}",
                "{e} comes from a city where everyone speaks {a}",
                "in the city where {e} was born people speak {a}",
                "{e} comes from a city where people speak {a}",
            ),
            (
                "{e} vient d'une ville où on parle {a}",
                "la langue de la ville natale de {e} est le {a}",
                "{e} a grandi dans une ville où les gens parlent {a}",
                "dans la ville natale de {e} on parle {a}",
                "{e} a grandi dans une ville où on parle {a}",
            ),
        ),
    ),
    Relation(
        "person.continent",
        PEOPLE,
        tuple(CONTINENT_OF_COUNTRY[c] for c in _HOME),
        CONTINENT_FORMS,
        (
            (
                "{e} was born on the continent of {a}",
                "the continent of the city where {e} was born is {a}",
                "{e} comes from the continent of {a}",
                "the birthplace of {e} is on the continent of {a}",
                "the birthplace of {e} lies on the continent of {a}",
            ),
            (
                "{e} vient d'une ville {of}",
                "le continent de la ville natale de {e} est {the}",
                "{e} a grandi dans une ville {of}",
                "la ville natale de {e} est une ville {of}",
                "la ville natale de {e} fait partie de {the}",
            ),
        ),
    ),
)
"""Questions that need a person's birthplace and then what is known of that city."""
