"""Multisensory at its published size: shapes, constants, what is computed once, the losses."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from avcore.papers.multisensory import published_separation as separation
from avcore.papers.multisensory import published_training as training
from avcore.papers.multisensory.clips import still
from avcore.papers.multisensory.published import (
    FRAMES,
    SAMPLES,
    SIZE,
    Block,
    MultisensoryNet,
    compand,
)
from avcore.support import AvcoreError


def narrow(**settings) -> MultisensoryNet:
    torch.manual_seed(0)
    return MultisensoryNet(width=8, **settings)


def clips(count: int = 2, sounds: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (count, 3, 8, 32, 32) and waveforms (sounds · count, 8192, 2)."""
    torch.manual_seed(1)
    return torch.rand(count, 3, 8, 32, 32), 2 * torch.rand(sounds * count, 8192, 2) - 1


def without_gradient(model: torch.nn.Module) -> list[str]:
    """Which trained parameters get no gradient.

    A shortcut's offset is left out: the norm behind the sum subtracts it again, so its gradient is
    zero but for rounding.
    """
    named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    lacking = [name for name, each in named if each.grad is None or not each.grad.any()]
    return [name for name in lacking if not name.endswith("shortcut.1.bias")]


# ------------------------------------------------------------------------- the published sizes


def test_the_maps_at_the_published_size():
    with torch.device("meta"):
        model, fine = MultisensoryNet().eval(), MultisensoryNet(stride_last=False).eval()
        frames, sound = torch.empty(1, 3, FRAMES, SIZE, SIZE), torch.empty(2, SAMPLES, 2)
        assert model.hear(sound).shape == (2, 256, 86)  # 87,588 / 1024 steps
        video, early, last = model.features(frames, sound)
        assert video.shape == (2, 64, 32, 28, 28) and early.shape == (2, 128, 32, 28, 28)
        assert last.shape == (2, 512, 16, 7, 7) and model(frames, sound).shape == (2,)
        assert fine.cam(frames, sound).shape == (2, 16, 14, 14)
        assert model(frames[:, :, ::4], sound).shape == (2,)  # the warm-up
    shapes = {name: each.shape for name, each in model.state_dict().items()}
    assert shapes == {name: each.shape for name, each in fine.state_dict().items()}


def test_the_parameters_counted_by_hand():
    def block(inputs: int, outputs: int, kernel: int, project: bool) -> int:
        shortcut = inputs * outputs + 2 * outputs if project else 0
        return shortcut + (inputs + outputs) * outputs * kernel + 4 * outputs

    video = 3 * 64 * 5 * 7 * 7 + 2 * 64 + 2 * block(64, 64, 27, False)
    sound = 2 * 64 * 65 + 2 * 64 + block(64, 128, 15, True)
    sound += block(128, 128, 15, False) + block(128, 256, 15, True)
    merge = 256 * 128 * 3 + 2 * 128 + (64 + 128) * 512 + 2 * 512 + 512 * 128 + 2 * 128
    joint = 2 * block(128, 128, 27, False) + block(128, 256, 27, True) + block(256, 256, 27, False)
    joint += block(256, 512, 27, True) + block(512, 512, 27, False)
    with torch.device("meta"):
        count = sum(each.numel() for each in MultisensoryNet().parameters())
    assert count == video + sound + merge + joint + 512 + 1


def test_the_u_net_at_the_published_size():
    with torch.device("meta"):
        video, unet = MultisensoryNet(), separation.SeparationUNet()
        both = separation.Separator(video, unet).eval()
        found = both(torch.empty(1, 3, 63, SIZE, SIZE), torch.empty(1, 44_144, 2))
        sizes = []
        for layer in (*unet.encoder, *unet.decoder):
            layer.register_forward_hook(lambda *call: sizes.append(tuple(call[2].shape[1:])))
        unet(torch.empty(1, 2, 128, 1024), [torch.empty(1, c, 16, 4, 4) for c in (64, 128, 512)])
    assert found.on.shape == found.off.shape == (1, 2, 128, 1024)
    encoder = [(64, 128, 512), (128, 128, 256), (256, 64, 128), (512, 32, 64), (512, 16, 32)]
    encoder += [(512, 8, 16), (512, 4, 8), (512, 2, 4), (512, 1, 2)]
    decoder = [(512, 2, 4), (512, 4, 8), (512, 8, 16), (512, 16, 32), (512, 32, 64)]
    decoder += [(256, 64, 128), (128, 128, 256), (64, 128, 512)]
    assert sizes == encoder + decoder
    inputs = [layer.convolution.in_channels for layer in unet.encoder]
    assert inputs == [2, 64, 128, 256 + 64, 512 + 128, 512 + 512, 512, 512, 512]


def test_the_constants_of_batch_normalisation_and_of_the_schedules():
    with torch.device("meta"):
        models = MultisensoryNet(), separation.SeparationUNet()
    for model, epsilon in zip(models, (1e-3, 1e-5), strict=True):
        norms = [each for each in model.modules() if hasattr(each, "running_mean")]
        assert {(each.eps, round(each.momentum, 6)) for each in norms} == {(epsilon, 3e-4)}
    assert (separation.WINDOW, separation.HOP) == (0.064 * 21_000, 0.016 * 21_000)
    assert training.WARM_UP.batch_size == 15 and training.PRETEXT.batch_size == 5
    assert training.PRETEXT.clip_norm == 5 and training.SEPARATION.clip_norm == 10
    assert training.SEPARATION.steps + training.SEPARATION_END.steps == 160_000
    sgd = training.momentum(models[0])
    assert (sgd.defaults["lr"], sgd.defaults["momentum"]) == (1e-2, 0.9)
    assert [group["weight_decay"] for group in sgd.param_groups] == [1e-5, 0]
    learned = sum(len(group["params"]) for group in training.adam(models[1]).param_groups)
    assert learned == len(list(models[1].parameters()))


def test_initial_weights_are_spread_as_published():
    torch.manual_seed(0)
    model, unet = MultisensoryNet(width=16), separation.SeparationUNet((), width=16)
    merge = torch.cat(
        [model.merge.from_video.weight.flatten(), model.merge.from_sound.weight.flatten()]
    )
    assert merge.std().item() == pytest.approx(math.sqrt(2 / 48), rel=0.05)
    weight = model.late[0].first[0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 27)), rel=0.02)
    assert unet.encoder[5].convolution.weight.std().item() == pytest.approx(0.02, rel=0.02)


# ---------------------------------------------------------------------------- the pretext's net


def test_companding_by_hand():
    values = torch.tensor([-1.0, -1 / 255, 0.0, 1 / 17, 1.0])
    expected = torch.tensor(
        [-1.0, -1 / 8, 0.0, 0.5, 1.0]
    )  # log 2, log 16 and log 256, over log 256
    torch.testing.assert_close(compand(values), expected)


def test_a_block_is_its_equation():
    torch.manual_seed(0)
    block, x = Block(4, 4, (3,), (2,)).eval(), torch.randn(2, 4, 9)
    inner = functional.relu(functional.conv1d(x, block.first[0].weight, stride=2, padding=1))
    inner = inner / math.sqrt(1 + 1e-3)  # running variance 1
    total = x[..., ::2] + functional.conv1d(inner, block.second.weight, padding=1)
    torch.testing.assert_close(block(x), functional.relu(total / math.sqrt(1 + 1e-3)))


@torch.no_grad()
def test_early_fusion_equals_the_convolution_of_the_tiled_sound():
    merge = narrow().eval().merge
    video, sound = torch.randn(2, 8, 4, 3, 3), torch.randn(4, 32, 9)
    heard = merge.sound(functional.adaptive_max_pool1d(sound, 4))
    tiled = heard[..., None, None].expand(-1, -1, -1, 3, 3)
    both = torch.cat([torch.cat([video, video]), tiled], 1)  # (4, 8 + 16, 4, 3, 3)
    kernel = torch.cat([merge.from_video.weight, merge.from_sound.weight[..., None, None]], 1)
    inner = merge.second(merge.norm(functional.conv3d(both, kernel)).relu())
    shortcut = torch.cat([both[:, :8], both[:, -8:]], 1)
    torch.testing.assert_close(merge(video, sound, 2), merge.last_norm(inner + shortcut).relu())


@pytest.mark.parametrize("form", ["waveform", "spectrogram"])
def test_every_parameter_of_the_pretext_s_net_learns(form):
    model = narrow(sound=form)
    frames, sound = clips(sounds=2)
    logits = model(frames, sound if form == "waveform" else torch.randn(4, 64, 40))
    functional.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 1, 0, 0])).backward()
    assert logits.shape == (4,) and without_gradient(model) == []


def test_the_video_stream_is_computed_once_for_all_sounds():
    model, calls = narrow().eval(), []
    model.video.register_forward_hook(lambda *call: calls.append(len(call[2])))
    frames, sounds = clips(sounds=3)
    with torch.no_grad():
        together = model(frames, sounds)
        assert calls == [2]
        apart = torch.cat([model(frames, sound) for sound in sounds.split(2)])
        video = model.see(frames)
        kept = model.fuse(video, model.hear(sounds[2:4])).last.mean((2, 3, 4))
    torch.testing.assert_close(together, apart)
    torch.testing.assert_close(model.head(kept)[:, 0], apart[2:4])


@torch.no_grad()
def test_the_activation_map_is_the_head_at_each_place_and_its_mean_the_logit():
    model, fine = narrow().eval(), narrow(stride_last=False).eval()
    fine.load_state_dict(model.state_dict())
    frames, sound = clips()
    last = fine.features(frames, sound).last
    expected = functional.conv3d(last, fine.head.weight[..., None, None, None], fine.head.bias)
    cam = fine.cam(frames, sound)
    torch.testing.assert_close(cam, expected[:, 0])
    assert cam.shape == (2, 1, 2, 2) and model.cam(frames, sound).shape == (2, 1, 1, 1)
    torch.testing.assert_close(cam.mean((1, 2, 3)), fine(frames, sound))


@torch.no_grad()
def test_without_sound_nothing_is_heard():
    model = narrow().eval()
    frames, sound = clips()
    assert model(frames, None).shape == (2,)
    assert not model(frames, None).equal(model(frames, sound))
    assert not model(frames, sound).equal(model(frames, sound.flip(1)))


def test_inputs_that_do_not_fit_are_refused():
    model, (frames, sound) = narrow().eval(), clips()
    for wrong, heard, said in (
        (frames.transpose(1, 2), sound, r"frames \(B, 3, T, H, W\)"),
        ((255 * frames).byte(), sound, "uint8"),
        (frames, sound[..., 0], r"a waveform \(B, n, 2\) is wanted"),
        (frames, sound[:, :1000], "1000 samples is too short"),
        (frames, sound[:1], "2 clips want as many sounds each, not 1"),
        (frames, torch.cat([sound, sound[:1]]), "not 3"),
    ):
        with pytest.raises(AvcoreError, match=said):
            model(wrong, heard)
    with pytest.raises(AvcoreError, match=r"a log-mel \(B, 64, m\) is wanted"):
        narrow(sound="spectrogram")(frames, sound)
    with pytest.raises(AvcoreError, match="unknown sound 'flow'"):
        MultisensoryNet(sound="flow")


# ---------------------------------------------------------------------------------- separation


def test_the_transform_has_the_published_size_and_goes_back():
    torch.manual_seed(0)
    sound = torch.randn(2, 44_144)
    spectrum = separation.stft(sound)
    assert spectrum.shape == (2, 128, 1025)
    back = separation.istft(spectrum, 44_144)
    assert back.shape == sound.shape and not back[:, 44_016:].any()  # behind the last window
    torch.testing.assert_close(back[:, 300:-500], sound[:, 300:-500], atol=1e-5, rtol=0)
    assert (back.abs() <= sound.abs() + 1e-5).all()  # the ends fade
    third = torch.hann_window(1344) * sound[0, 672 : 672 + 1344]
    torch.testing.assert_close(spectrum[0, 2], torch.fft.rfft(third, 2048), atol=1e-3, rtol=0)
    with pytest.raises(AvcoreError, match="1000 samples is too short for windows of 1344"):
        separation.stft(sound[:, :1000])


def test_levels_and_phases_by_hand_and_back():
    spectrum = torch.tensor([[1.0, 1e4j, -1e-2, 0.0, 5.0]], dtype=torch.complex64)
    encoded = separation.encode(spectrum)  # the last bin is left out
    torch.testing.assert_close(encoded[0], torch.tensor([[100 / 90 - 1, 1, 60 / 90 - 1, -1]]))
    torch.testing.assert_close(encoded[1], torch.tensor([[0, 0.5, 1, 0]]))
    assert separation.levels(encoded)[0].tolist() == pytest.approx([0, 80, -40, -100], abs=1e-4)
    expected = torch.tensor([[1.0, 1e4j, -1e-2, 1e-5, 0.0]], dtype=torch.complex64)
    torch.testing.assert_close(separation.decode(encoded), expected, rtol=1e-4, atol=1e-5)


def test_sounds_are_mixed_at_equal_levels():
    torch.manual_seed(0)
    mixture, on, off = separation.mix(3 * torch.randn(2, 500, 2), 0.01 * torch.randn(2, 500, 2))
    for sound in (on, off):
        torch.testing.assert_close(sound.square().mean(1).sqrt(), torch.full((2, 2), 0.1))
    torch.testing.assert_close(mixture, on + off)


@pytest.mark.parametrize("video", [(8, 16, 64), ()])
def test_every_parameter_of_the_u_net_learns(video):
    torch.manual_seed(0)
    unet = separation.SeparationUNet(video, width=4)
    mixture = 2 * torch.rand(2, 2, 128, 512) - 1
    features = [torch.randn(2, channels, 5, 3, 3) for channels in video]
    found = unet(mixture, features)
    assert found.on.shape == found.off.shape == mixture.shape and found.on.abs().max() <= 1
    training.separation_loss(found, separation.Separated(mixture, -mixture)).mean().backward()
    assert without_gradient(unet) == []
    with pytest.raises(AvcoreError, match=f"with {len(video)} maps of the video; got"):
        unet(mixture[:, :, :100], features)


def test_both_networks_learn_together_and_the_video_is_seen():
    separator = separation.Separator(narrow(), separation.SeparationUNet((8, 16, 64), 2))
    frames, _ = clips()
    mixture = 0.1 * torch.randn(2, 44_144, 2)
    found = separator(frames, mixture)
    assert found.on.shape == (2, 2, 128, 1024)
    training.separation_loss(found, separation.Separated(found.off, found.on)).sum().backward()
    assert without_gradient(separator) == []
    frozen = [name for name, each in separator.named_parameters() if not each.requires_grad]
    assert frozen == ["video.head.weight", "video.head.bias"]
    with torch.no_grad():
        assert not separator.eval()(frames, mixture).on.equal(separator(1 - frames, mixture).on)


@pytest.mark.parametrize(("samples", "steps"), [(44_015, 127), (44_352, 129), (9_000, 23)])
def test_a_sound_of_other_than_whole_blocks_of_steps_is_refused(samples, steps):
    separator = separation.Separator(narrow(), separation.SeparationUNet((8, 16, 64), 2))
    wanted = f"{samples} samples makes {steps} steps, .* take 44016 to 44351 samples"
    with pytest.raises(AvcoreError, match=wanted):
        separator(clips()[0], torch.zeros(2, samples, 2))


def test_features_enter_as_means_over_space_stretched_in_time():
    maps = torch.arange(4.0).view(1, 1, 4, 1, 1) + torch.tensor([-1.0, 1.0]).view(1, 1, 1, 1, 2)
    entered = separation._over_bins(maps, torch.empty(1, 9, 8, 3))
    expected = torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    torch.testing.assert_close(entered, expected.view(1, 1, 8, 1).expand(-1, -1, -1, 3))


def test_a_single_frame_is_the_middle_one():
    frames = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(1, 3, 5, 2, 2)
    assert still(frames).unique().tolist() == [2]


def test_the_losses_by_hand():
    zero = torch.zeros(2, 2, 3, 4)
    level, phase = zero.clone(), zero.clone()
    level[:, 0] = 0.5
    phase[:, 1] = 0.5
    assert training.distance(level, zero).tolist() == [0.5, 0.5]
    assert training.distance(phase, zero).tolist() == pytest.approx([0.005, 0.005])
    found, true = separation.Separated(level, zero), separation.Separated(zero, phase)
    assert training.separation_loss(found, true).tolist() == pytest.approx([0.505, 0.505])


def test_the_permutation_invariant_loss_takes_the_smaller_of_both_orders():
    zero, one = torch.zeros(2, 2, 3, 4), torch.ones(2, 2, 3, 4)
    true = separation.Separated(zero, one)
    found = separation.Separated(
        torch.stack([zero[0], one[1] - 0.1]), torch.stack([one[0], zero[1]])
    )
    as_named = training.separation_loss(found, true)
    assert as_named.tolist() == pytest.approx([0, 1.01 * 1.9])
    invariant = training.permutation_invariant_loss(found, true)
    assert invariant.tolist() == pytest.approx([0, 1.01 * 0.1])
    without_phase = training.permutation_invariant_loss(found, true, phase=0)
    assert without_phase.tolist() == pytest.approx([0, 0.1])
    exchanged = training.permutation_invariant_loss(separation.Separated(found.off, found.on), true)
    torch.testing.assert_close(exchanged, invariant)
