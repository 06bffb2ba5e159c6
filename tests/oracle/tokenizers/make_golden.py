#!/usr/bin/env python3
"""Small tokenizers of the published families, and the ids that Hugging Face's tokenizers and transformers give.

    make_golden.py [OUT]        (needs requirements.txt; OUT is ../data/tokenizers)

Each family has the normalizer, the pre-tokenizer, the post-processor and the kinds of added tokens of its published
tokenizer.json; only the vocabulary is small, trained on the texts below so that merges cross wherever they can.
Writes OUT/FAMILY/{tokenizer.json,tokenizer_config.json,...} and OUT/golden.json.
"""
import json
import pathlib
import sys
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import import_protobuf
from transformers.tokenization_utils_base import generate_merges

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "engine/train/data"

TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "\n\n \n",
    "\t\tx",
    "\r\n",
    "Hello, world!",
    "  leading and trailing  ",
    "two  spaces   three    four",
    "It's we'll I'D don't THEY'RE 's 'LL can't've",
    "The router 路由器 sends tokens. 专家 3 号回答。",
    "你好，世界。“引号”——破折号……（括号）《书名》、顿号",
    "　　段首缩进，全角空格。",
    "第3章１２３ＡＢＣ　全角",
    "中文 and English 混在一起text没有空格123数字45.67%。",
    "一二三四五六七八九十",
    "日本語テキスト カタカナ ひらがな 한국어 텍스트",
    "emoji 😀😃 👩‍👩‍👧 👍🏽 I ❤️ you ☕️ 🇨🇳🇺🇸 1️⃣2️⃣ ✔️done",
    "🎉🎉🎉!!! 😂😂 lol🤣",
    "def f(x):\n\treturn x**2  # comment\n\n\nclass A:\n    def __init__(self, a=1, *args, **kwargs):\n        self.a = a\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 0x1F; }  // done\n",
    "#include <vector>\nstd::vector<int> v{1, 2, 3};\r\n\r\nreturn v.size() > 3 ? \"yes\\n\" : 'n';",
    "{\"key\": [1, 2.5, null], \"中文\": \"值\"}",
    "SELECT * FROM experts WHERE layer >= 12 AND load <> 0.5;",
    "https://www.example.com/path?query=1&b=2#frag foo@bar.com",
    "CamelCaseWordsHTTPServer snake_case_word kebab-case SCREAMING_CASE",
    "1234567890 3.14159 1,000,000 2024-11-30 12:34:56 ½ ² Ⅷ ①②③",
    "$100 €200 ¥300 +-*/=<> ∑∫√≈≠≤≥∞ µ ℃ № ™ ©",
    "---- ==== ____ ...... !!!! ???? ,,,, ;;;;",
    "naïve café Ünïcödé straße ΑΒΓ αβγ ПриветМир",
    "cafe\u0301 e\u0301 A\u030a n\u0303o",
    "don’t it’s “curly” ‘quotes’",
    "a\u00a0b\u2003c\u200bd",
    "x=1;\n\n\n\n\n    y = 2   \nend",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "▁ mark ▁▁ of a space",
    "<0x41> <0xE4> is no byte",
    "\U0001d49c\U0001d4d1 \U00010400 \U0002070e",
]
TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥\u3040-\u309f\u30a0-\u30ff]+",
             "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
             "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def bytes_only():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def training_texts():
    lines = []
    for name in ("english.txt", "chinese.txt"):
        lines += (DATA / name).read_text(encoding="utf-8").split("\n")
    return lines + TEXTS * 3


def of_bytes(words, normalizer, added, vocabulary=1000, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = words
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(training_texts(), trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def special(text):
    return AddedToken(text, normalized=False, special=True)


def of_sentencepiece(vocabulary=1000):
    """Pieces and merges as transformers' converter makes them of a model of SentencePiece."""
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "text"
        lines = [line for line in "\n".join(training_texts()).split("\n") if line.strip()]
        text.write_text("\n".join(lines), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=folder + "/m", model_type="bpe", vocab_size=vocabulary, byte_fallback=True,
            character_coverage=0.98, normalization_rule_name="identity", remove_extra_whitespaces=False,
            split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2)
        proto = import_protobuf().ModelProto()
        proto.ParseFromString((pathlib.Path(folder) / "m.model").read_bytes())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    numbers = {piece: number for number, (piece, _) in enumerate(pieces)}
    merges = generate_merges(numbers, dict(pieces))
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.add_special_tokens([special(text) for text in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", numbers["<s>"])])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    return tokenizer


def families():
    """name -> (tokenizer, settings of tokenizer_config.json, chat template)"""
    qwen = of_bytes(pre_tokenizers.Sequence([split(QWEN2), bytes_only()]), normalizers.NFC(),
                    [special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] +
                    [AddedToken(t, normalized=False, special=False) for t in ("<think>", "</think>")])
    yield "qwen3_moe", qwen, {"bos_token": None, "eos_token": "<|im_end|>", "add_bos_token": False}, TEMPLATE
    olmo = of_bytes(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), normalizers.NFC(),
                    [special("<|endoftext|>"), special("<|padding|>")] +
                    [AddedToken(" " * n, normalized=True, special=False) for n in (8, 6, 4, 3, 2)])
    yield "olmoe", olmo, {"bos_token": None, "eos_token": "<|endoftext|>", "add_bos_token": False}, None
    deepseek = of_bytes(pre_tokenizers.Sequence([split(p) for p in DEEPSEEK3] + [bytes_only()]),
                        normalizers.Sequence([]),
                        [AddedToken(t, normalized=True, special=True)
                         for t in ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>")] +
                        [AddedToken(t, normalized=True, special=False) for t in ("<｜User｜>", "<｜Assistant｜>")])
    yield "deepseek_v3", deepseek, {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>",
                                    "add_bos_token": True}, (
        "{{ bos_token }}{% for message in messages %}{{ '<｜User｜>' + message['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}")
    oss = of_bytes(pre_tokenizers.Sequence([split(O200K, "removed", True), bytes_only()]), None,
                   [special(t) for t in ("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|channel|>", "<|start|>",
                                         "<|end|>", "<|message|>")])
    yield "gpt_oss", oss, {"bos_token": "<|startoftext|>", "eos_token": "<|return|>"}, (
        "{% for message in messages %}{{ '<|start|>' + message['role'] + '<|message|>' + message['content'] + '<|end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}")
    llama = of_bytes(pre_tokenizers.Sequence([split(LLAMA3), bytes_only()]), None,
                     [special("<|begin_of_text|>"), special("<|end_of_text|>")], ignore_merges=True)
    llama.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                                      special_tokens=[("<|begin_of_text|>", llama.token_to_id("<|begin_of_text|>"))])])
    yield "llama3", llama, {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}, None
    yield "cl100k", of_bytes(pre_tokenizers.Sequence([split(CL100K), bytes_only()]), None,
                             [special("<|endoftext|>")]), {"eos_token": "<|endoftext|>"}, None
    yield "smollm", of_bytes(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]),
                             None, [special("<|endoftext|>")]), {"eos_token": "<|endoftext|>"}, None
    coder = of_bytes(pre_tokenizers.Sequence([split(p) for p in DEEPSEEK_CODER] +
                                             [pre_tokenizers.Digits(individual_digits=True), bytes_only()]),
                     normalizers.Sequence([]), [special("<|EOT|>")])
    yield "deepseek_coder", coder, {"eos_token": "<|EOT|>"}, None
    mixtral = of_sentencepiece()
    mixtral.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    yield "mixtral", mixtral, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}, (
        "{{ bos_token }}{% for message in messages %}{{ ' [INST] ' + message['content'] + ' [/INST]' }}{% endfor %}")
    first = of_sentencepiece()
    first.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    yield "mixtral-first", first, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, None


OLD = {"olmoe", "mixtral"}  # merges as one text, as before tokenizers 0.20


def write(folder, tokenizer, settings, template):
    folder.mkdir(parents=True, exist_ok=True)
    file = json.loads(tokenizer.to_str())
    if folder.name in OLD:
        file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    if template and folder.name == "deepseek_v3":  # in a file of its own, as newer folders have it
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    elif template:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "data/tokenizers"
    golden = {"texts": TEXTS, "families": {}}
    for name, tokenizer, settings, template in families():
        write(out / name, tokenizer, settings, template)
        again = Tokenizer.from_file(str(out / name / "tokenizer.json"))  # the file counts, not what it was made of
        of_file = {"size": again.get_vocab_size(),
                   "ids": [again.encode(text, add_special_tokens=False).ids for text in TEXTS]}
        fast = PreTrainedTokenizerFast(tokenizer_object=again, chat_template=template,
                                       **{k: v for k, v in settings.items() if k.endswith("_token") and not k.startswith("add")})
        if template:
            content = "Which expert? 哪个专家 😀"
            of_file["chat"] = {"content": content, "ids": fast.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=False)}
        golden["families"][name] = of_file
        changed = sum(again.decode(ids) != text for ids, text in zip(of_file["ids"], TEXTS))
        print(f"{name:16} {of_file['size']:5} tokens, {sum(map(len, of_file['ids'])):5} ids, {changed} texts come back changed")
    (out / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
