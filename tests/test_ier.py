"""IEr: steps tell kinds apart, filters erase what they should, mixtures are what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.audio import log_mel
from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import draw, stage_of
from avcore.class_aware.solos import stage_one, train_config
from avcore.nn.backbones import SoundStream
from avcore.nn.losses import distribution_loss
from avcore.papers import ier
from avcore.papers.ier import evaluation, experiments, lessons
from avcore.papers.ier.identifier import STEPS, Identifier, middle_features, prototypes_of
from avcore.papers.ier.referrer import MASKS, SEEN_SHARE, Referred, Referrer, in_view
from avcore.papers.ier.training import Curriculum, Mixer, identify, mix, refer
from avcore.support import AvcoreError

pytest.importorskip("torchvision")


@pytest.fixture(scope="module")
def solos():
    return draw("solo", "train", 32)


@pytest.fixture(scope="module")
def mixtures():
    return draw("mixture", "train", 16)


@pytest.fixture(scope="module")
def start(solos):
    config = replace(train_config("smoke", 0, "cpu"), progress=False)
    return config, stage_one(solos, 5, config)


# --- the identifier ----------------------------------------------------------------------------


def test_the_ear_is_its_head_on_middle_features():
    torch.manual_seed(0)
    ear, mel = SoundStream().eval(), torch.randn(3, 64, 50)
    torch.testing.assert_close(ear.head(middle_features(ear, mel)), ear(mel))


def test_steps_move_the_feature_of_a_sound():
    torch.manual_seed(0)
    ear, mel = SoundStream().eval(), torch.randn(3, 64, 50)
    prototypes = torch.randn(4, 128)
    each, common, classifier = (Identifier(ear, prototypes, steps).eval() for steps in STEPS)
    torch.nn.init.zeros_(each.mlp[-1].weight)
    torch.nn.init.zeros_(each.mlp[-1].bias)
    found = each(mel)
    feature = ear(mel)
    torch.testing.assert_close(found.features, feature[:, None].expand(-1, 4, -1))
    cosine = torch.cosine_similarity(feature[:, None], prototypes[None], dim=-1)
    torch.testing.assert_close(found.logits, each.log_scale.exp() * cosine + each.bias)
    moved = common(mel).features
    torch.testing.assert_close(moved[:, 0], moved[:, 3])
    assert not torch.allclose(moved[:, 0], feature)
    assert classifier(mel).logits.shape == (3, 4)
    torch.testing.assert_close(classifier(mel).features[:, 2], feature)


def test_prototypes_are_means_of_unit_features():
    features = torch.tensor([[2.0, 0.0], [0.0, 3.0], [5.0, 0.0]])
    found = prototypes_of(features, torch.tensor([1, 1, 0]), 2)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    assert prototypes_of(features, torch.tensor([0, 1, 1]), 3)[2].tolist() == [0.0, 0.0]


def test_an_identifier_refuses_what_does_not_fit():
    with pytest.raises(AvcoreError, match=r"prototypes want shape \(K, 128\)"):
        Identifier(SoundStream(), torch.zeros(3, 64))
    with pytest.raises(AvcoreError, match="kind of steps"):
        Identifier(SoundStream(), torch.zeros(3, 128), "none")


# --- mixtures ----------------------------------------------------------------------------------


def test_mixing_in_power_is_nearly_mixing_waveforms():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 16_000, generator=generator) * 0.1  # noise: phases do not matter
    exact = log_mel(one + 0.1 * other)
    found = mix(
        torch.stack([log_mel(one), log_mel(other)])[:, None], torch.tensor([[0.0], [-20.0]])
    )[0]
    assert (found - exact).abs().mean() < 0.15  # of natural logarithms: 0.7 dB
    alone = mix(log_mel(one)[None, None], torch.zeros(1, 1))[0]
    torch.testing.assert_close(alone, log_mel(one))


def test_a_curriculum_goes_from_pairs_to_fours(solos):
    config = replace(experiments.identify_config("smoke", 0, "cpu"), steps=100, batch_size=400)
    mixer = Mixer(solos.mel[..., :4], torch.arange(32) % 12, 12, config)
    sums = {
        step: torch.stack(
            [mixer(step, torch.Generator().manual_seed(n)).label.sum(1) for n in range(12)]
        )
        for step in (0, 99)
    }
    assert sums[0].max() == 2 and sums[99].max() == 4 and sums[99].min() == 1
    assert (sums[0] > 1).float().mean() == pytest.approx(0.5 * 11 / 12, abs=0.05)
    assert (sums[99] == 1).float().mean() == pytest.approx(0.1, abs=0.06)
    again = [mixer(7, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(again[0].mel, again[1].mel)
    with pytest.raises(AvcoreError, match="shares go from 0 to 1"):
        Curriculum(share=(0.5, 1.5))


def test_uneven_stages_have_the_gap_they_say():
    equal, apart = stage_of("equal"), stage_of("10 dB")
    one, other = equal.scene("test", 3), apart.scene("test", 3)
    assert (one.frames == other.frames).all()
    heard = [n for n, source in enumerate(one.sources) if source.sounding]
    first, second = heard
    assert (one.stems[first] == other.stems[first]).all()
    assert abs(other.stems[second] / 10**-0.5 - one.stems[second]).max() < 1e-6
    gap = other.sources[first].level_db - other.sources[second].level_db
    assert gap == pytest.approx(10 + one.sources[first].level_db - one.sources[second].level_db)


def test_an_identifier_learns_to_name_what_it_hears(solos):
    config = replace(
        experiments.identify_config("quick", 0, "cpu"), steps=120, batch_size=32, progress=False
    )
    torch.manual_seed(0)
    model, history = identify(SmallLocaliser(12), solos, solos.label(), config)
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    with torch.no_grad():
        first = model(solos.mel).logits.argmax(1)
    assert (first == solos.label()).float().mean() > 0.7  # of what it has heard; chance is 1/12


# --- the referrer ------------------------------------------------------------------------------


def test_masks_say_what_is_in_view():
    looks = torch.zeros(2, 3, 10, 10)
    looks[0, 0, :1] = 0.9  # a tenth of the first picture
    looks[0, 1, 0, :2] = 0.29
    looks[1, 2, 5, :5] = 0.26  # a twentieth of the second
    assert in_view(looks, "fixed").tolist() == [[1, 0, 0], [0, 0, 0]]
    assert in_view(looks, "batch max")[0].tolist() == [1, pytest.approx(0.02 / SEEN_SHARE), 0]
    assert in_view(looks, "image max").tolist() == [[1, 0, 0], [0, 0, 1]]
    means = in_view(looks, "image mean")
    assert means[0].tolist() == pytest.approx([1, 0.29 * 0.02 / 0.09, 0]) and means[1, 2] == 1
    assert in_view(looks, "batch mean")[0, 1].item() == pytest.approx(0.02 / SEEN_SHARE)
    assert set(MASKS) == {"fixed", "batch max", "image max", "image mean", "batch mean"}
    with pytest.raises(AvcoreError, match="mask"):
        in_view(looks, "otsu")


def test_filters_multiply_what_looks_like_a_class():
    looks = torch.rand(2, 3, 4, 4)
    places, heard = torch.rand(2, 3, 4, 4), torch.randn(2, 3)
    view = torch.tensor([[1.0, 0.0, 0.5], [1.0, 1.0, 1.0]])
    found = Referred(looks, places, heard, view)
    assert torch.equal(found.maps(False, False), looks)
    silent = looks * places * heard.sigmoid()[:, :, None, None]
    torch.testing.assert_close(found.maps(True, False), silent)
    torch.testing.assert_close(found.maps(), silent * view[:, :, None, None])
    told = found.distribution()
    torch.testing.assert_close(told.sum(1), torch.ones(2))
    assert told[0, 1] == 0
    torch.testing.assert_close(told[1], heard[1].softmax(0))
    nothing = Referred(looks, places, heard, torch.zeros(2, 3)).distribution()
    assert nothing.isfinite().all()  # nothing that is heard is in view


def test_the_divergence_by_hand():
    told = torch.tensor([[0.5, 0.5, 0.0]])
    logits = torch.log(torch.tensor([[0.25, 0.5, 0.25]]))
    assert distribution_loss(logits, told).item() == pytest.approx(0.5 * torch.log(torch.tensor(2)))


def test_only_the_streams_of_a_referrer_learn(start, solos, mixtures):
    config, first = start
    labels, entries = first.dictionary.labels, first.dictionary.entries
    identifier, _ = identify(first.model, solos, labels, config)
    model = Referrer(first.model, identifier, entries)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    history = refer(model, mixtures, solos, replace(config, batch_size=8))
    assert {"kl", "location"} <= set(history.values)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("network.") for name in changed)
    assert not any("running" in name or "class_layer" in name for name in changed)
    found = evaluation.refer_to(model, mixtures)
    assert found.looks.shape == (16, 5, 16, 16) and found.heard.shape == (16, 5)
    torch.testing.assert_close(found.looks.sum(1), torch.ones(16, 16, 16))
    maps = evaluation.class_maps(found, torch.tensor([3, 0, -1, 3, 7]), 12)
    assert maps.shape == (16, 12, 16, 16) and not maps[:, 1].any()
    with pytest.raises(AvcoreError, match="4 entries, and the identifier 5"):
        Referrer(first.model, identifier, entries[:4])


# --- experiments -------------------------------------------------------------------------------


def test_naming_is_right_for_one_that_knows(solos):
    class Knows(torch.nn.Module):
        """Remembers the loudest bands of each solo."""

        def forward(self, mel):
            near = -(mel[:, None] - solos.mel[None]).square().mean((2, 3))
            logits = torch.full((len(mel), 12), -1e9)
            for n, label in enumerate(solos.label().tolist()):
                logits[:, label] = torch.maximum(logits[:, label], near[:, n])
            return ier.Identified(logits[:, :, None], logits)

    class Blind(torch.nn.Module):
        def forward(self, mel):
            return ier.Identified(
                torch.zeros(len(mel), 12, 1), -torch.arange(12.0).repeat(len(mel), 1)
            )

    classes = torch.arange(12)
    assert evaluation.named(Knows(), solos, classes, 0.0) > 0.5
    assert evaluation.named(Blind(), solos, classes, 0.0) < 0.35  # always the same two of twelve
    assert evaluation.mixture_ap(Knows(), solos, classes, 2) > evaluation.mixture_ap(
        Blind(), solos, classes, 2
    )


def test_the_experiments_return_their_yardsticks():
    found = experiments.identifier_experiment("steps", 0, "smoke", "cpu")
    assert found["gain@20"] == pytest.approx(
        found["named@20"]
        - experiments.identifier_experiment("one step for all", 0, "smoke", "cpu")["named@20"]
    )
    found = experiments.referrer_experiment("both filters", 0, "smoke", "cpu")
    wanted = {"quiet@10", "off_screen", "one_class", "nsa", "cap", "piap", "trivial_ciou@0.3"}
    assert wanted <= set(found)
    with pytest.raises(AvcoreError, match="variant"):
        experiments.referrer_experiment("no mask", 0, "smoke", "cpu")


def test_every_open_choice_says_why():
    assert len(ier.CHOICES) >= 10
    assert all(all(choice) for choice in ier.CHOICES)


# --- what the chapters do ------------------------------------------------------------------------


def test_a_lesson_asks_for_each_pair_what_the_experiments_count(start, solos):
    _, first = start
    head, class_of = lessons.StageOneEar(first.model), torch.arange(5)
    told = lessons.quieter_named(head, solos, class_of, 12, 10.0)
    assert told.double().mean().item() == evaluation.named(head, solos, class_of, 10.0)
    pairs = lessons.pairs_of(solos)
    assert (solos.label()[pairs.loud] != solos.label()[pairs.quiet]).all()
    twins = lessons.pairs_of(solos, one_class=True)
    assert (solos.label()[twins.loud] == solos.label()[twins.quiet]).all()
    assert (twins.loud != twins.quiet).all()


def test_stage_one_as_an_identifier_takes_no_step(start, solos):
    _, first = start
    network, mel = first.model.eval(), solos.mel[:4]
    prototypes = torch.randn(5, 128)
    with torch.no_grad():
        feature = network.audio_net(mel)
        head = lessons.StageOneEar(network)(mel)
        near = lessons.StageOneEar(network, prototypes)(mel)
    torch.testing.assert_close(head.logits, network.a_class_layer(feature))
    torch.testing.assert_close(head.features[:, 3], feature)
    cosine = torch.cosine_similarity(feature[2], prototypes[1], dim=0)
    torch.testing.assert_close(near.logits[2, 1], cosine)


def test_answers_are_by_class_and_the_surest_cluster_counts(solos):
    class Told(torch.nn.Module):
        def forward(self, mel):
            logits = torch.tensor([0.5, 2.0, 1.0, -3.0]).expand(len(mel), 4)
            return ier.Identified(logits[:, :, None], logits)

    found = lessons.answers(Told(), solos.mel[:2], torch.tensor([1, 1, -1, 0]), 3)
    assert found[1].tolist() == [-3.0, 2.0, -torch.inf]


def test_a_reader_learns_one_layer_and_leaves_the_ear(start, solos):
    config, first = start
    labels, head = first.dictionary.labels, lessons.StageOneEar(first.model)
    before = {name: each.clone() for name, each in first.model.state_dict().items()}
    reader, history = lessons.learn_to_find(first.model, head, solos, labels, config)
    assert all(torch.equal(each, before[name]) for name, each in first.model.state_dict().items())
    changed = {
        name
        for name, each in reader.network.state_dict().items()
        if not torch.equal(each, before[name])
    }
    assert changed == {"embed_a.0.weight", "embed_a.0.bias"} and len(history.steps)
    maps = lessons.find(lessons.Reader(first.model), head, solos)
    assert maps.shape == (32, 5, 16, 16)
    with torch.no_grad():
        own = first.model(solos.seen, solos.mel).av_map
    torch.testing.assert_close(maps[:, 2], own, atol=1e-5, rtol=1e-4)
    features = torch.randn(1, 5, 128)
    assert lessons.find_features(reader, features, solos).shape == (32, 5, 16, 16)
