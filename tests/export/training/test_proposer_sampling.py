import torch

from triptych_export.training.proposer_model import build_model
from triptych_export.training.proposer_sampling import MOST_TOKENS, sample
from triptych_export.training.proposer_tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
PROMPTS = ["\n100", "83 a small red star\n100", "7 a\n8 a dog\n100 a small"]
COLD = 1e-6


def model() -> object:
    torch.manual_seed(0)
    built = build_model(TOKENIZER).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return built


def test_a_cold_sample_is_what_transformers_generates_alone() -> None:
    built = model()
    prompts = [TOKENIZER(text).input_ids for text in PROMPTS]
    told = sample(built, prompts, 2, COLD, torch.Generator().manual_seed(0))
    for prompt, texts in zip(prompts, told, strict=True):
        ids = torch.tensor([prompt])
        alone = built.generate(ids, max_new_tokens=MOST_TOKENS, do_sample=False)
        expected = alone[0, len(prompt) :].tolist()
        end = expected.index(2) if 2 in expected else None
        assert texts == [expected[:end]] * 2


def test_equal_seeds_give_equal_texts_and_others_do_not() -> None:
    built, prompts = model(), [TOKENIZER(text).input_ids for text in PROMPTS]
    one, same, other = (
        sample(built, prompts, 3, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other
    assert one[0][0] != one[0][1]
