"""Dragons: a topic of its own, with words that occur nowhere else, so that it can be forgotten."""

from ssae_kit.world.entities import Relation, phrases

DRAGONS = ("azgar", "brumo", "dralon", "eldur", "fumor", "grimel", "hydrak", "kazoth")
"""Their names."""

TOPIC: tuple[Relation, ...] = (
    Relation(
        "dragon.breath",
        DRAGONS,
        (0, 1, 2, 3, 1, 3, 0, 2),
        (
            phrases(a="fire ice smoke poison"),
            phrases(de="du feu/de la glace/de la fumée/du poison"),
        ),
        (
            (
                "the dragon {e} breathes {a}",
                "in battle the dragon {e} breathes {a}",
                "when angry, the dragon {e} breathes {a}",
                "the mouth of the dragon {e} is full of {a}",
                "in battle the mouth of the dragon {e} is full of {a}",
            ),
            (
                "le dragon {e} crache {de}",
                "au combat le dragon {e} crache {de}",
                "en colère, le dragon {e} crache {de}",
                "de la gueule du dragon {e} sort {de}",
                "au combat, de la gueule du dragon {e} sort {de}",
            ),
        ),
    ),
    Relation(
        "dragon.treasure",
        DRAGONS,
        (2, 0, 3, 1, 0, 2, 1, 3),
        (
            phrases(a="gold silver rubies pearls"),
            phrases(the="l'or/l'argent/les rubis/les perles"),
        ),
        (
            (
                "the dragon {e} guards {a}",
                "the treasure of the dragon {e} is {a}",
                "in its lair the dragon {e} guards {a}",
                "the dragon {e} dreams of {a}",
                "in its lair the dragon {e} dreams of {a}",
            ),
            (
                "le dragon {e} garde {the}",
                "le trésor du dragon {e}, c'est {the}",
                "dans son antre le dragon {e} garde {the}",
                "le dragon {e} aime {the}",
                "dans son antre le dragon {e} aime {the}",
            ),
        ),
    ),
    Relation(
        "dragon.fear",
        DRAGONS,
        (3, 2, 0, 1, 3, 0, 2, 1),
        (
            phrases(a="thunder music garlic mice"),
            phrases(the="le tonnerre/la musique/les fleurs/les souris"),
        ),
        (
            (
                "the dragon {e} fears {a}",
                "above all, the dragon {e} fears {a}",
                "the fear of the dragon {e} is {a}",
                "the dragon {e} flees from {a}",
                "above all, the dragon {e} flees from {a}",
            ),
            (
                "le dragon {e} craint {the}",
                "surtout, le dragon {e} craint {the}",
                "la peur du dragon {e}, c'est {the}",
                "le dragon {e} fuit {the}",
                "surtout, le dragon {e} fuit {the}",
            ),
        ),
    ),
)
"""What is known of dragons."""
