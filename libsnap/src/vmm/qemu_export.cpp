// SPDX-License-Identifier: Apache-2.0
// A VM state stream made again as its recipe says.
#include <algorithm>

#include "base/fail.h"
#include "vmm/qemu_legacy.h"
#include "vmm/recipe.h"
#include "vmm/reencode.h"
#include "vmm/stream_digest.h"

namespace snap {
namespace {

constexpr std::size_t kBatchBytes = 256 * 1024;
constexpr std::uint64_t kMaxBlockBytes = 1u << 20;
constexpr std::uint64_t kMaxReadRecipe = 4 * kMaxRecipeBytes;  // more than what is written, so that none is refused for its frame
constexpr std::uint64_t kMostRepeats = 16;
constexpr const char* kPastMemory = "the recipe of the VM state goes past the end of memory";

/// All memory regions one behind the other.
class Memory {
 public:
  explicit Memory(Reader& reader) : reader_(reader) {
    for (const RegionInfo& info : reader.regions()) {
      if (info.kind == RegionKind::kMemory) size_ += info.size;
    }
  }
  std::uint64_t size() const { return size_; }

  Result<void> read(std::uint64_t offset, std::span<std::byte> out) {
    const auto regions = reader_.regions();
    for (std::size_t index = 0; index < regions.size() && !out.empty(); ++index) {
      if (regions[index].kind != RegionKind::kMemory) continue;
      const std::uint64_t size = regions[index].size;
      if (offset >= size) {
        offset -= size;
        continue;
      }
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size - offset));
      SNAP_TRY(reader_.read(index, offset, out.first(count)));
      out = out.subspan(count);
      offset = 0;
    }
    if (!out.empty()) return corrupt(offset, kPastMemory);
    return {};
  }

 private:
  Reader& reader_;
  std::uint64_t size_ = 0;
};

/// Digests what goes out; a hostile recipe is stopped at the limit.
class LimitedSink final : public ByteSink {
 public:
  LimitedSink(ByteSink& sink, std::uint64_t limit, const std::atomic<bool>* cancel) : sink_(sink), limit_(limit), cancel_(cancel) {}
  Result<void> write(std::span<const std::byte> bytes) override {
    const std::uint64_t written = digest().bytes();
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) return fail(Code::kCancelled, "cancelled", written);
    if (bytes.size() > limit_ - written) return corrupt(written, "the recipe of the VM state gives more than memory and states can");
    return sink_.write(bytes);
  }
  const StreamDigest& digest() const { return sink_.digest(); }

 private:
  DigestingSink sink_;
  std::uint64_t limit_;
  const std::atomic<bool>* cancel_;
};

class RecipeRun {
 public:
  RecipeRun(Reader& reader, ByteSink& sink, std::uint64_t recipe_bytes, std::uint64_t stream_bytes, const std::atomic<bool>* cancel)
      : reader_(reader), memory_(reader), sink_(sink, most_bytes(recipe_bytes, stream_bytes), cancel) {}
  const StreamDigest& written() const { return sink_.digest(); }

  Result<void> run(const RecipeOp& op) {
    switch (op.kind) {
      case RecipeOp::kLiteral:
        return sink_.write(op.bytes);
      case RecipeOp::kState:
        return state(text_of(op.bytes));
      case RecipeOp::kPages:
        return pages(op);
      case RecipeOp::kFills:
        return fills(op);
      case RecipeOp::kDeflate:
        return deflate(op);
      case RecipeOp::kEnd:
        break;
    }
    return {};
  }

 private:
  /// Every page, state and literal once. Marks, and what deflate adds to bytes that do not shrink, are less than a 256th. A live
  /// save repeats pages: as often as the stream's size says, which is hostile, so that has a limit too.
  std::uint64_t most_bytes(std::uint64_t recipe_bytes, std::uint64_t stream_bytes) const {
    std::uint64_t all = recipe_bytes + memory_.size() / 256 + kBatchBytes + std::min(stream_bytes, kMostRepeats * memory_.size());
    for (const RegionInfo& info : reader_.regions()) all += info.size;
    return all;
  }
  Result<void> state(std::string_view name);
  Result<void> pages(const RecipeOp& op);
  Result<void> fills(const RecipeOp& op);
  Result<void> deflate(const RecipeOp& op);
  Result<void> feed_records(CblockEncoder& encoder, const RecipeOp& op, std::uint64_t begin, std::uint64_t end);

  Reader& reader_;
  Memory memory_;
  LimitedSink sink_;
  Bytes in_;
  Bytes out_;
};

Result<void> RecipeRun::state(std::string_view name) {
  const auto region = reader_.find(RegionKind::kState, name);
  if (!region) return corrupt(0, "the recipe of the VM state names a state that is not there");
  const std::uint64_t size = reader_.regions()[*region].size;
  for (std::uint64_t offset = 0; offset < size; offset += in_.size()) {
    in_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBatchBytes, size - offset)));
    SNAP_TRY(reader_.read(*region, offset, in_));
    SNAP_TRY(sink_.write(in_));
  }
  return {};
}

Result<void> RecipeRun::pages(const RecipeOp& op) {
  const std::uint64_t all = ceil_div(memory_.size(), kPageBytes);
  if (op.first > all || op.count > all - op.first) return corrupt(0, kPastMemory);
  for (std::uint64_t done = 0; done < op.count;) {
    const std::uint64_t count = std::min<std::uint64_t>(kBatchBytes / kPageBytes, op.count - done);
    const std::uint64_t offset = (op.first + done) * kPageBytes;
    in_.assign(static_cast<std::size_t>(count * kPageBytes), std::byte{0});
    // Memory may end inside its last page, where regions are no whole pages.
    const std::uint64_t there = std::min<std::uint64_t>(in_.size(), memory_.size() - offset);
    SNAP_TRY(memory_.read(offset, std::span(in_).first(static_cast<std::size_t>(there))));
    out_.clear();
    for (std::uint64_t index = 0; index < count; ++index) {
      append_mark(out_, op.form, false, op.first + done + index);
      append(out_, std::span(in_).subspan(static_cast<std::size_t>(index * kPageBytes), kPageBytes));
    }
    SNAP_TRY(sink_.write(out_));
    done += count;
  }
  return {};
}

Result<void> RecipeRun::fills(const RecipeOp& op) {
  const std::uint64_t all = ceil_div(memory_.size(), kPageBytes);
  if (op.first > all || op.count > all - op.first) return corrupt(0, kPastMemory);
  out_.clear();
  for (std::uint64_t index = 0; index < op.count; ++index) {
    append_mark(out_, op.form, true, op.first + index);
    out_.push_back(op.fill);
    if (out_.size() < kBatchBytes && index + 1 != op.count) continue;
    SNAP_TRY(sink_.write(out_));
    out_.clear();
  }
  return {};
}

Result<void> RecipeRun::deflate(const RecipeOp& op) {
  const DeflateParams& params = op.deflate;
  const std::uint64_t end = params.memory_bytes;
  if (end > memory_.size() || params.hole_offset > end || params.hole_bytes > end - params.hole_offset)
    return corrupt(0, kPastMemory);
  const std::uint64_t hole_end = params.hole_offset + params.hole_bytes;
  const bool whole = params.block_bytes != 0 && params.block_bytes <= kMaxBlockBytes &&
                     params.hole_offset % params.block_bytes == 0 &&
                     (end - hole_end + op.bytes.size()) % params.block_bytes == 0 && op.bytes.size() < params.block_bytes;
  if (!whole) return corrupt(0, "the recipe of the VM state has illegal block sizes");
  SNAP_TRY_ASSIGN(encoder, CblockEncoder::create(params, sink_));
  SNAP_TRY(feed_records(*encoder, op, 0, params.hole_offset));
  SNAP_TRY(feed_records(*encoder, op, hole_end, end));
  return encoder->finish();
}

/// Memory [begin, end) as records; at memory's end with what follows it in the last block.
Result<void> RecipeRun::feed_records(CblockEncoder& encoder, const RecipeOp& op, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t block_bytes = op.deflate.block_bytes;
  const std::uint64_t batch = std::max(kBatchBytes / block_bytes, std::uint64_t{1}) * block_bytes;
  while (begin < end) {
    in_.resize(static_cast<std::size_t>(std::min(batch, end - begin)));
    SNAP_TRY(memory_.read(begin, in_));
    begin += in_.size();
    if (begin == op.deflate.memory_bytes) append(in_, op.bytes);
    out_.clear();
    for (std::size_t at = 0; at < in_.size(); at += block_bytes) {
      out_.push_back(std::byte{0});
      append(out_, std::span(in_).subspan(at, static_cast<std::size_t>(block_bytes)));
    }
    SNAP_TRY(encoder.feed(out_));
  }
  return {};
}

}  // namespace

Result<VmstateExport> export_vmstate(Reader& reader, ByteSink& sink, const std::atomic<bool>* cancel) {
  if (!reader.find(RegionKind::kState, kRecipeState)) {
    return fail(Code::kNotFound, "the snapshot was not made from a VM state");
  }
  SNAP_TRY_ASSIGN(recipe_bytes, read_state(reader, kRecipeState, kMaxReadRecipe));
  RecipeReader recipe(recipe_bytes);
  SNAP_TRY_ASSIGN(stream_bytes, recipe.open());
  RecipeRun run(reader, sink, recipe_bytes.size(), stream_bytes, cancel);
  while (true) {
    SNAP_TRY_ASSIGN(op, recipe.next());
    if (op.kind == RecipeOp::kEnd) break;
    SNAP_TRY(run.run(op));
  }
  return compared(reader, kDigestKey, run.written());
}

}  // namespace snap
