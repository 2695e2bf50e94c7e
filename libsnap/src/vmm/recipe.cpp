// SPDX-License-Identifier: Apache-2.0
#include "vmm/recipe.h"

#include "base/fail.h"
#include "vmm/big_endian.h"
#include "vmm/leb128.h"

namespace snap {
namespace {

void append_counted(Bytes& to, std::span<const std::byte> bytes) {
  append_leb128(to, bytes.size());
  append(to, bytes);
}

}  // namespace

unsigned mark_bytes(PageForm form) {
  switch (form) {
    case PageForm::kVersion1:
      return 1;
    case PageForm::kLive3:
      return 8;
    case PageForm::kKvmLive:
      return 4;
  }
  return 0;
}

void append_mark(Bytes& to, PageForm form, bool fill, std::uint64_t page) {
  switch (form) {
    case PageForm::kVersion1:
      to.push_back(fill ? std::byte{1} : std::byte{0});
      break;
    case PageForm::kLive3:
      append_be<std::uint64_t>(to, page * 4096 + (fill ? 2 : 8));
      break;
    case PageForm::kKvmLive:
      append_be<std::uint32_t>(to, static_cast<std::uint32_t>(page * 4096));
      break;
  }
}

void RecipeWriter::literal(std::span<const std::byte> bytes) {
  if (run_.kind != RecipeOp::kEnd) flush();
  append(literal_, bytes);
}

void RecipeWriter::state(std::string_view name) {
  flush();
  out_.push_back(std::byte{RecipeOp::kState});
  append_counted(out_, bytes_of(name));
}

void RecipeWriter::page(PageForm form, std::uint64_t page) { extend(RecipeOp::kPages, form, page, std::byte{0}); }

void RecipeWriter::fill(PageForm form, std::uint64_t page, std::byte byte) { extend(RecipeOp::kFills, form, page, byte); }

void RecipeWriter::extend(RecipeOp::Kind kind, PageForm form, std::uint64_t page, std::byte byte) {
  if (run_.kind == kind && run_.form == form && run_.fill == byte && page == run_.first + run_.count) {
    ++run_.count;
    return;
  }
  flush();
  run_.kind = kind;
  run_.form = form;
  run_.fill = byte;
  run_.first = page;
  run_.count = 1;
}

void RecipeWriter::deflate(const DeflateParams& params, std::span<const std::byte> slack) {
  flush();
  out_.push_back(std::byte{RecipeOp::kDeflate});
  for (const std::uint64_t value : {params.block_bytes, params.hole_offset, params.hole_bytes, params.memory_bytes, params.level,
                                    params.window_bits, params.memory_level, params.piece_bytes}) {
    append_leb128(out_, value);
  }
  append_counted(out_, slack);
}

void RecipeWriter::flush() {
  if (!literal_.empty()) {
    out_.push_back(std::byte{RecipeOp::kLiteral});
    append_counted(out_, literal_);
    literal_.clear();
  }
  if (run_.kind == RecipeOp::kEnd) return;
  out_.push_back(std::byte{run_.kind});
  append_leb128(out_, static_cast<std::uint64_t>(run_.form));
  if (run_.kind == RecipeOp::kFills) out_.push_back(run_.fill);
  append_leb128(out_, run_.first);
  append_leb128(out_, run_.count);
  run_.kind = RecipeOp::kEnd;
}

void RecipeWriter::append_operations(RecipeWriter& from) {
  flush();
  append(out_, from.operations());
}

const Bytes& RecipeWriter::operations() {
  flush();
  return out_;
}

Bytes RecipeWriter::finish(std::uint64_t stream_bytes) {
  flush();
  Bytes recipe;
  append(recipe, bytes_of(kRecipeMagic));
  append_leb128(recipe, stream_bytes);
  append(recipe, out_);
  recipe.push_back(std::byte{RecipeOp::kEnd});
  return recipe;
}

std::optional<std::span<const std::byte>> RecipeReader::counted() {
  const auto count = take_leb128(in_);
  return count ? in_.take_bytes(*count) : std::nullopt;
}

Result<std::uint64_t> RecipeReader::open() {
  const auto magic = in_.take_bytes(kRecipeMagic.size());
  if (!magic || text_of(*magic) != kRecipeMagic) return corrupt(0, "not a recipe of a VM state");
  const auto stream_bytes = take_leb128(in_);
  if (!stream_bytes) return corrupt(offset(), "the recipe of the VM state is damaged");
  return *stream_bytes;
}

bool RecipeReader::take_run(RecipeOp& op) {
  const auto form = take_leb128(in_);
  if (!form || *form < 1 || *form > 3) return false;
  op.form = static_cast<PageForm>(*form);
  if (op.kind == RecipeOp::kFills) {
    const auto fill = in_.take<std::byte>();
    if (!fill || op.form == PageForm::kKvmLive) return false;
    op.fill = *fill;
  }
  const auto first = take_leb128(in_);
  const auto count = take_leb128(in_);
  if (!first || !count) return false;
  op.first = *first;
  op.count = *count;
  return true;
}

bool RecipeReader::take_deflate(RecipeOp& op) {
  DeflateParams& params = op.deflate;
  for (std::uint64_t* value : {&params.block_bytes, &params.hole_offset, &params.hole_bytes, &params.memory_bytes, &params.level,
                               &params.window_bits, &params.memory_level, &params.piece_bytes}) {
    const auto taken = take_leb128(in_);
    if (!taken) return false;
    *value = *taken;
  }
  const auto slack = counted();
  if (!slack) return false;
  op.bytes = *slack;
  return true;
}

Result<RecipeOp> RecipeReader::next() {
  RecipeOp op;
  const auto kind = in_.take<std::byte>();
  if (!kind || *kind == std::byte{RecipeOp::kEnd}) return op;
  op.kind = static_cast<RecipeOp::Kind>(*kind);
  bool good = false;
  if (op.kind == RecipeOp::kLiteral || op.kind == RecipeOp::kState) {
    const auto bytes = counted();
    good = bytes.has_value();
    if (good) op.bytes = *bytes;
  } else if (op.kind == RecipeOp::kPages || op.kind == RecipeOp::kFills) {
    good = take_run(op);
  } else if (op.kind == RecipeOp::kDeflate) {
    good = take_deflate(op);
  }
  if (!good) return corrupt(offset(), "the recipe of the VM state is damaged");
  return op;
}

}  // namespace snap
