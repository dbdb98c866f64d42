"""The world: a bilingual grammar whose concepts are known, its sampler and its parser."""

from ssae_kit.world.entities import FACTS, TWO_HOP, Question, Relation, questions
from ssae_kit.world.parse import (
    Reading,
    SentenceReading,
    WordReading,
    counterfactual,
    parse,
    read,
)
from ssae_kit.world.prompts import CoChange, concept_pairs, prompts
from ssae_kit.world.state import CONCEPTS, VALUES, State, value_index
from ssae_kit.world.stories import Story, log_probability_of_story, sample_story
