"""From a recipe and the model folders to a :class:`Plan`, by headers alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence

import torch

from . import architecture as arch
from .architecture import Architecture
from .blocks import block_names, block_of, parse_elements
from .checkpoint import TensorInfo, open_checkpoint
from .errors import MismatchError, RecipeError
from .folders import ModelFolders
from .lora import LoRAFile, Match, match
from .metadata import style_names
from .methods import method, normalised
from .plan import Plan, Source, Step, Term, Update
from .progress import Progress
from .recipe import Ingredient, ModelFile, Recipe

_DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32",
           "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
_FP8 = ("F8_E4M3", "F8_E5M2")


def resolve(recipe: Recipe, models: ModelFolders, progress: Progress | None = None) -> Recipe:
    """The recipe with every sha256 filled in, and checked where it was given. Hashes files not hashed before."""
    files: list[ModelFile] = [*recipe.ingredients, *([recipe.base] if recipe.base else [])]
    paths = [models.find(file, progress) for file in files]
    shas = models.hashes.sha256_many(list(dict.fromkeys(paths)), progress)
    return dataclasses.replace(
        recipe,
        ingredients=tuple(dataclasses.replace(each, sha256=shas[path])
                          for each, path in zip(recipe.ingredients, paths)),
        base=dataclasses.replace(recipe.base, sha256=shas[paths[-1]]) if recipe.base else None)


def resolve_known(recipe: Recipe, models: ModelFolders) -> Recipe:
    """The recipe with the sha256 of every file whose hash is known already. Reads no file."""
    def known(file: ModelFile) -> str | None:
        return file.sha256 or models.known_sha256(file)

    return dataclasses.replace(
        recipe,
        ingredients=tuple(dataclasses.replace(each, sha256=known(each)) for each in recipe.ingredients),
        base=dataclasses.replace(recipe.base, sha256=known(recipe.base)) if recipe.base else None)


def prepare(recipe: Recipe, models: ModelFolders, progress: Progress | None = None) -> Plan:
    """Find, open and compare the files of a recipe and lay out every output tensor.

    Raises :class:`FileError`, :class:`MismatchError`, :class:`RecipeError`, :class:`Cancelled`.
    """
    return _Planner(resolve(recipe, models, progress), models).plan()


class _Planner:
    """What the steps of one plan share: opened files, the method, the users' notes."""

    def __init__(self, recipe: Recipe, models: ModelFolders) -> None:
        self.recipe, self.models = recipe, models
        self.method = method(recipe.method)
        used = [each for each in recipe.ingredients if each.weight or any(each.blocks.values()) or each.elements]
        self.checkpoints = [each for each in used if each.kind == "checkpoint"]
        self.loras = [each for each in used if each.kind == "lora"]
        self.sources: dict[str, Source] = {}
        self.notes: list[str] = []
        if recipe.base:
            self._open(recipe.base)
        for each in self.checkpoints:
            self._open(each)
        self.base = self.sources[_sha(recipe.base)] if recipe.base else None
        self.reference = self.base or min(self.sources.values(),
                                          key=lambda source: source.anatomy.architecture.channels or 0)
        self.family = self.reference.anatomy.architecture.family

    def plan(self) -> Plan:
        self._check_architectures()
        self._check_keys()
        self._check_blocks()
        self.rules = {id(each): parse_elements(each.elements, self.family)
                      for each in (*self.checkpoints, *self.loras)}
        self.matches = self._match_loras()
        text, vae, student = self.recipe.text_encoder, self.recipe.vae, self._student()
        steps = [
            *self._averaged(arch.DIFFUSION),
            *(self._averaged(arch.TEXT) if text == "soup" else self._copied(arch.TEXT, self._owner(arch.TEXT, text))),
            *(self._averaged(arch.VAE) if vae == "soup" else self._copied(arch.VAE, self._owner(arch.VAE, vae))),
            *self._copied(arch.OTHER, self._owner(arch.OTHER, None)),
            *self._copied(arch.STYLES, student),
        ]
        self._note_vae(steps)
        return Plan(self.recipe, self._resulting_architecture(steps), tuple(sorted(steps, key=_reading_order)),
                    {**{sha: source.checkpoint for sha, source in self.sources.items()},
                     **{sha: lora.checkpoint for sha, (_, lora) in self.matches.items()}}, tuple(self.notes),
                    student.anatomy.styles if student else frozenset(),
                    style_names(student.checkpoint.metadata) or () if student else ())

    # -- opening and comparing -------------------------------------------------------------------

    def _open(self, file: ModelFile) -> Source:
        sha = _sha(file)
        if sha not in self.sources:
            checkpoint = open_checkpoint(self.models.find(file))
            self.sources[sha] = Source(sha, file.file, checkpoint, arch.inspect(checkpoint))
        return self.sources[sha]

    def _check_architectures(self) -> None:
        for other in (self.reference, *self.sources.values()):
            for source in self.sources.values():
                arch.require_same(other.file, other.anatomy.architecture, source.file, source.anatomy.architecture)

    def _check_keys(self) -> None:
        for source in self.sources.values():
            require_same_tensors(self.reference, source)

    def _widens(self, key: str) -> bool:
        """Whether ingredients may differ in this tensor's second dimension, the input channels."""
        return _widens(key, self.reference)

    def _check_blocks(self) -> None:
        names = block_names(self.family, self.reference.anatomy.keys)
        for each in (*self.checkpoints, *self.loras):
            unknown = [name for name in each.blocks if name not in names]
            if unknown:
                raise RecipeError(f"{each.file} has a weight for block {unknown[0]!r}, which "
                                  f"{self.reference.anatomy.architecture.title} does not have; "
                                  f"its blocks are {', '.join(names)}.")

    def _match_loras(self) -> dict[str, tuple[Match, LoRAFile]]:
        found: dict[str, tuple[Match, LoRAFile]] = {}
        for each in self.loras:
            if _sha(each) in found:
                continue
            assert self.base is not None, "Recipe refuses LoRAs without a base"
            shapes = {key: info.shape for key, info in self.base.anatomy.keys.items()}
            lora = LoRAFile(open_checkpoint(self.models.find(each)))
            matched = match(lora, shapes, self.family)
            found[_sha(each)] = matched, lora
            if matched.unmatched:
                self.notes.append(f"{each.file}: {matched.matched} layers used, {len(matched.unmatched)} have no "
                                  f"place in this base (first: {matched.unmatched[0]}).")
        return found

    def _resulting_architecture(self, steps: Sequence[Step]) -> Architecture:
        channels = next((step.shape[1] for step in steps if step.key == arch.CONV_IN), None)
        return dataclasses.replace(self.reference.anatomy.architecture, channels=channels)

    def _note_vae(self, steps: Sequence[Step]) -> None:
        if self.family == "sdxl" and any(step.dtype == "F16" and step.terms[0].info.dtype == "F32" for step in steps
                                         if arch.part_of(step.key) == arch.VAE and step.terms):
            self.notes.append("The SDXL VAE is rounded from float32 to float16, in which many SDXL VAEs give black "
                              "images; leave dtype open, or take a VAE made for float16.")

    def _student(self) -> Source | None:
        """The source whose style prompts the soup keeps: DMM students among the sources must have the same ones."""
        students = sorted((source for source in self.sources.values() if source.anatomy.styles),
                          key=lambda source: (style_names(source.checkpoint.metadata) is None, source.sha256))
        for other in students[1:]:
            if not _same_styles(students[0], other):
                raise MismatchError(
                    f"{students[0].file} and {other.file} are DMM students with different style prompts or style MLPs, "
                    "so there is no telling whose styles their soup should have. Leave one of them out.")
        return students[0] if students else None

    # -- parts -----------------------------------------------------------------------------------

    def _source(self, each: Ingredient) -> Source:
        """The checkpoint an ingredient is a change of: itself, or the base."""
        return self._need_base() if each.kind == "lora" else self.sources[_sha(each)]

    def _averaged(self, part: str) -> list[Step]:
        """Every tensor of a part as a sum over the ingredients that have the part; the base's if none has."""
        members = [each for each in (*self.checkpoints, *self.loras) if part in self._source(each).anatomy.parts]
        if not members:
            return self._copied(part, self.base)
        lacking = len(self.checkpoints) + len(self.loras) - len(members)
        if lacking:
            self.notes.append(f"{lacking} of {lacking + len(members)} ingredients have no {part}; it is averaged over "
                              "the others.")
        owners = {self._source(each) for each in members} | ({self._need_base()} if self.method.needs_base else set())
        sources = sorted((owner for owner in owners if part in owner.anatomy.parts), key=lambda owner: owner.sha256)
        keys = {key: info for source in sources for key, info in source.anatomy.part(part).items()}
        steps = [self._sum(key, info, members) for key, info in keys.items()]
        partial = [key for key in keys if not arch.is_ids(key)
                   and any(key not in source.anatomy.keys for source in sources)]
        if partial:
            self.notes.append(f"{len(partial)} tensors of the {part} are missing from some ingredients and averaged "
                              f"over the others (first: {partial[0]}).")
        return steps

    def _owner(self, part: str, choice: str | None) -> Source | None:
        """The one source a part is taken from whole; None for "none" or where nobody has it."""
        if choice == "none":
            return None
        if choice == "base":
            return self.base
        if choice is not None:
            files: list[ModelFile] = [*self.recipe.ingredients, *([self.recipe.base] if self.recipe.base else [])]
            source = self._open(next(file for file in files if file.file == choice and file.kind == "checkpoint"))
            arch.require_same(self.reference.file, self.reference.anatomy.architecture,
                              source.file, source.anatomy.architecture)
            if part not in source.anatomy.parts:
                raise MismatchError(f"{choice} is to give the {part}, but has none; choose another file.")
            return source
        ranked = sorted(self.checkpoints, key=lambda each: (-each.weight, _sha(each)))
        candidates = [*([self.base] if self.base else []), *(self.sources[_sha(each)] for each in ranked)]
        return next((source for source in candidates if part in source.anatomy.parts), None)

    def _copied(self, part: str, owner: Source | None) -> list[Step]:
        if owner is None:
            return []
        return [self._ids(key, info) if arch.is_ids(key) else self._copy(key, owner)
                for key, info in owner.anatomy.part(part).items()]

    # -- one tensor ------------------------------------------------------------------------------

    def _copy(self, key: str, owner: Source) -> Step:
        info = owner.anatomy.keys[key]
        assert info.torch_dtype  # a FileError now, not while cooking, for numbers torch cannot read
        whole = arch.part_of(key) == arch.OTHER or key in owner.anatomy.styles
        dtype = info.dtype if whole else self._dtype(key, [info])
        return Step(key, dtype, info.shape, block_of(key, self.family), (Term(owner, info, 1.0),))

    def _ids(self, key: str, info: TensorInfo) -> Step:
        return Step(key, "I64", info.shape or (1,), "BASE", ())

    def _sum(self, key: str, info: TensorInfo, members: Sequence[Ingredient]) -> Step:
        """θ(k) = Σᵢ cᵢ θᵢ(k) + c₀ θ₀(k), where a LoRA's θᵢ is θ₀ + sᵢ ΔWᵢ."""
        if arch.is_ids(key):
            return self._ids(key, info)
        block = block_of(key, self.family)
        having = [each for each in members if key in self._source(each).anatomy.keys]
        if not info.is_float or arch.is_marker(key) or not having:
            owners = [self.sources[_sha(each)] for each in having if each.kind == "checkpoint"]
            return self._copy(key, min(owners, key=lambda source: source.sha256) if owners else self._need_base())
        weights = [self._weight(each, block, key) for each in having]
        if self.recipe.normalise:
            weights = list(normalised(weights, f"block {block} ({key})"))
        elif not self.method.needs_base and len(having) < len(self.checkpoints) + len(self.loras):
            weights = self._scaled_up(weights, block, key)
        coefficients, rest = self.method.coefficients(weights, self.recipe.parameters)
        if rest and key not in self._need_base().anatomy.keys:  # no θ₀ to differ from: an average
            coefficients, rest = normalised(weights, f"block {block} ({key})"), 0.0
        amounts: dict[str, float] = {}
        strengths: dict[str, float] = {}
        for each, amount in sorted(zip(having, coefficients), key=lambda it: (_sha(it[0]), it[1], it[0].strength)):
            if each.kind == "checkpoint":
                amounts[_sha(each)] = amounts.get(_sha(each), 0.0) + amount
            else:
                rest += amount
                strengths[_sha(each)] = strengths.get(_sha(each), 0.0) + amount * each.strength
        if rest or not amounts:
            base = self._need_base()
            amounts[base.sha256] = amounts.get(base.sha256, 0.0) + rest
        if not any(amounts.values()) and not any(strengths.values()):
            raise RecipeError(f"Every share in block {block} is 0, so nothing would be left of it ({key}). "
                              "Give at least one ingredient a share there.")
        updates = tuple(Update(sha, amount, key, *self.matches[sha]) for sha, amount in strengths.items()
                        if amount and key in self.matches[sha][0].targets)
        terms = self._terms(key, {sha: amount for sha, amount in amounts.items() if amount} or amounts)
        extra = self._extra_channels(key, block, having, amounts) if self._widens(key) else ()
        infos = [term.info for term in (*terms, *extra)]
        shape = max(info.shape for info in infos)
        if not self._widens(key) and any(info.shape != shape for info in infos):
            raise MismatchError(f"{key} has the shapes {sorted({info.shape for info in infos})} in different "
                                "ingredients, so they cannot be averaged; take that part from one file.")
        dtype = self._dtype(key, infos)
        return Step(key, dtype, shape, block, terms, updates, extra,
                    self.recipe.seed if dtype in _FP8 else None)

    def _scaled_up(self, weights: Sequence[float], block: str, key: str) -> list[float]:
        """Plain weights of those who have a tensor, scaled to what all ingredients' weights add up to."""
        everyone = math.fsum(self._weight(each, block, key) for each in (*self.checkpoints, *self.loras))
        present = math.fsum(weights)
        return [weight * everyone / present for weight in weights] if present else list(weights)

    def _need_base(self) -> Source:
        assert self.base is not None, "Recipe refuses methods and LoRAs that need a base without one"
        return self.base

    def _terms(self, key: str, amounts: dict[str, float]) -> tuple[Term, ...]:
        having = {sha: amount for sha, amount in amounts.items() if key in self.sources[sha].anatomy.keys}
        return tuple(Term(self.sources[sha], self.sources[sha].anatomy.keys[key], amount)
                     for sha, amount in sorted(having.items()))

    def _weight(self, each: Ingredient, block: str, key: str) -> float:
        """The ingredient's share for one tensor: its last matching element row, else its block, else its share."""
        weight = each.blocks.get(block, each.weight)
        for rule in self.rules[id(each)]:
            if rule.matches(block, key):
                weight = rule.ratio
        return weight

    def _extra_channels(self, key: str, block: str, having: Sequence[Ingredient], used: Collection[str]
                        ) -> tuple[Term, ...]:
        """The average over the ingredients that have more input channels than others (inpainting); else nothing."""
        checkpoints = [each for each in having if each.kind == "checkpoint"]
        channels = {_sha(each): self.sources[_sha(each)].anatomy.keys[key].shape[1] for each in checkpoints}
        if self.base is not None and self.base.sha256 in used:
            channels[self.base.sha256] = self.base.anatomy.keys[key].shape[1]
        if len(set(channels.values())) < 2:
            return ()
        wide = [each for each in checkpoints if channels[_sha(each)] == max(channels.values())]
        if not wide:
            return self._terms(key, {self._need_base().sha256: 1.0})
        weights = [max(self._weight(each, block, key), 0.0) for each in wide]
        amounts: dict[str, float] = {}
        for each, share in zip(wide, normalised(weights if any(weights) else [1.0] * len(wide), block)):
            amounts[_sha(each)] = amounts.get(_sha(each), 0.0) + share
        return self._terms(key, {sha: amount for sha, amount in amounts.items() if amount})

    def _dtype(self, key: str, infos: Sequence[TensorInfo]) -> str:
        """The output dtype; float8 is for the matrices of the diffusion model alone, the rest is float16 then."""
        dtypes = {info.dtype for info in infos}
        if not all(info.is_float for info in infos):
            return infos[0].dtype
        if self.recipe.dtype is None:
            return dtypes.pop() if len(dtypes) == 1 else "F16"
        wanted = _DTYPES[self.recipe.dtype]
        plain = arch.part_of(key) != arch.DIFFUSION or len(infos[0].shape) < 2
        return "F16" if wanted in _FP8 and plain else wanted


def require_same_tensors(reference: Source, source: Source) -> None:
    """Same tensors of the same shapes in the diffusion model, or a :class:`MismatchError` with counts."""
    expected, found = reference.anatomy.part(arch.DIFFUSION), source.anatomy.part(arch.DIFFUSION)

    def compared(key: str, info: TensorInfo) -> tuple[int, ...]:
        return (*info.shape[:1], *info.shape[2:]) if _widens(key, reference) else info.shape

    alone = sorted(key for key in expected.keys() ^ found.keys() if not arch.is_marker(key))
    reshaped = sorted(key for key in expected.keys() & found.keys()
                      if compared(key, expected[key]) != compared(key, found[key]))
    if alone:
        where = f"only in {reference.file if alone[0] in expected else source.file}"
    elif reshaped:
        where = f"{list(expected[reshaped[0]].shape)} against {list(found[reshaped[0]].shape)}"
    else:
        return
    raise MismatchError(
        f"{source.file} and {reference.file} are not the same model: of {len(expected)} tensors of the "
        f"diffusion model, {len(alone)} exist in one file alone and {len(reshaped)} differ in shape "
        f"(first: {(alone or reshaped)[0]}, {where}). Leave one of them out.")


def _widens(key: str, reference: Source) -> bool:
    return key == arch.CONV_IN and reference.anatomy.architecture.channels is not None


def _same_styles(one: Source, other: Source) -> bool:
    """Whether two students have the same style tensors, whatever their dtypes."""
    if one.anatomy.styles != other.anatomy.styles:
        return False
    tensors = ((source.checkpoint.tensor(source.anatomy.keys[key].name) for source in (one, other))
               for key in one.anatomy.styles)
    return all(first.shape == second.shape and torch.equal(first.float(), second.float()) for first, second in tensors)


def _sha(file: ModelFile) -> str:
    assert file.sha256 is not None, "resolve() fills in every sha256"
    return file.sha256


def _reading_order(step: Step) -> tuple[str, int, str]:
    """By place in the file that is read first, so that every file is read from front to back."""
    if not step.terms:
        return "", 0, step.key
    return step.terms[0].source.sha256, step.terms[0].info.begin, step.key
