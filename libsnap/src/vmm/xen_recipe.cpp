// SPDX-License-Identifier: Apache-2.0
#include "vmm/xen_recipe.h"

#include <deque>

#include "base/fail.h"
#include "vmm/leb128.h"
#include "vmm/ram_intake.h"
#include "vmm/xen.h"

namespace snap {
namespace {

constexpr const char* kDamaged = "the recipe of the Xen save file is damaged";
constexpr unsigned kSupersededBit = 16;

/// Small numbers for small distances in both directions.
std::uint64_t zigzag(std::uint64_t from, std::uint64_t to) { return to >= from ? (to - from) << 1 : ((from - to) << 1) - 1; }
std::uint64_t unzigzag(std::uint64_t from, std::uint64_t number) {
  return (number & 1) == 0 ? from + (number >> 1) : from - (number >> 1) - 1;
}

}  // namespace

void XenRecipeWriter::flush() {
  if (literal_.empty()) return;
  out_.push_back(std::byte{XenPiece::kLiteral});
  append_leb128(out_, literal_.size());
  append(out_, literal_);
  literal_.clear();
}

void XenRecipeWriter::pages(std::span<const XenRun> runs) {
  flush();
  out_.push_back(std::byte{XenPiece::kPages});
  append_leb128(out_, runs.size());
  for (const XenRun& run : runs) {
    out_.push_back(static_cast<std::byte>(run.type | (run.superseded ? kSupersededBit : 0)));
    append_leb128(out_, run.count);
    append_leb128(out_, zigzag(next_frame_, run.first));
    next_frame_ = run.first + run.count;
  }
}

Bytes XenRecipeWriter::finish(std::uint64_t file_bytes) {
  flush();
  Bytes recipe;
  recipe.reserve(kXenRecipeMagic.size() + 11 + out_.size());
  append(recipe, bytes_of(kXenRecipeMagic));
  append_leb128(recipe, file_bytes);
  append(recipe, out_);
  out_ = Bytes();
  recipe.push_back(std::byte{XenPiece::kEnd});
  return recipe;
}

Result<std::uint64_t> XenRecipeReader::open() {
  const auto magic = in_.take_bytes(kXenRecipeMagic.size());
  if (!magic || text_of(*magic) != kXenRecipeMagic) return corrupt(0, "not a recipe of a Xen save file");
  const auto file_bytes = take_leb128(in_);
  if (!file_bytes) return corrupt(offset(), kDamaged);
  return *file_bytes;
}

bool XenRecipeReader::take_run(XenRun& run) {
  const auto tag = in_.take<std::byte>();
  const auto count = take_leb128(in_);
  const auto distance = take_leb128(in_);
  if (!tag || !count || !distance) return false;
  const unsigned bits = std::to_integer<unsigned>(*tag);
  run.type = bits & ~kSupersededBit;
  run.superseded = (bits & kSupersededBit) != 0;
  run.first = unzigzag(next_frame_, *distance);
  run.count = *count;
  if (!is_xen_type(run.type) || (run.superseded && !has_xen_body(run.type))) return false;
  if (run.first >= kMaxXenFrames || run.count == 0 || run.count > kMaxXenFrames - run.first) return false;
  next_frame_ = run.first + run.count;
  return true;
}

/// As many frames as a record may have.
bool XenRecipeReader::take_runs() {
  const auto count = take_leb128(in_);
  if (!count || *count == 0 || *count > kMostXenFrames) return false;
  runs_.resize(static_cast<std::size_t>(*count));
  std::uint64_t left = kMostXenFrames;
  for (XenRun& run : runs_) {
    if (!take_run(run) || run.count > left) return false;
    left -= run.count;
  }
  return true;
}

Result<XenPiece> XenRecipeReader::next() {
  XenPiece piece;
  const auto kind = in_.take<std::byte>();
  if (!kind) return corrupt(offset(), kDamaged);
  piece.kind = static_cast<XenPiece::Kind>(*kind);
  bool good = false;
  if (piece.kind == XenPiece::kEnd) {
    good = in_.empty();
  } else if (piece.kind == XenPiece::kLiteral) {
    const auto count = take_leb128(in_);
    const auto bytes = count ? in_.take_bytes(*count) : std::nullopt;
    good = bytes.has_value();
    if (good) piece.bytes = *bytes;
  } else if (piece.kind == XenPiece::kPages) {
    good = take_runs();
    piece.runs = runs_;
  }
  if (!good) return corrupt(offset(), kDamaged);
  return piece;
}

namespace {

/// Walks a recipe that was just made, to and fro: what comes again is known from the end only.
class SupersededMarks {
 public:
  explicit SupersededMarks(std::uint64_t most_bytes) : most_bytes_(most_bytes) {}

  Result<std::uint64_t> apply(Bytes& recipe) {
    XenRecipeReader pieces(recipe);
    SNAP_TRY_ASSIGN(file_bytes, pieces.open());
    SNAP_TRY(collect(pieces));
    find();
    if (superseded_count_ == 0) return superseded_count_;
    XenRecipeReader again(recipe);
    SNAP_TRY(again.open());
    SNAP_TRY_ASSIGN(marked, rewrite(again, file_bytes));
    recipe = std::move(marked);
    return superseded_count_;
  }

 private:
  /// Of frames whose numbers follow each other, whatever their types and records.
  struct Bodies {
    std::uint32_t first;
    std::uint32_t count;
  };

  Result<void> collect(XenRecipeReader& pieces) {
    while (true) {
      SNAP_TRY_ASSIGN(piece, pieces.next());
      if (piece.kind == XenPiece::kEnd) return {};
      for (const XenRun& run : piece.runs) {
        if (has_xen_body(run.type)) add(run);
      }
    }
  }

  void add(const XenRun& run) {
    const auto first = static_cast<std::uint32_t>(run.first);
    const auto count = static_cast<std::uint32_t>(run.count);
    body_count_ += count;
    if (!bodies_.empty() && bodies_.back().first + bodies_.back().count == first) {
      bodies_.back().count += count;
    } else {
      bodies_.push_back({first, count});
    }
  }

  void find() {
    PageSet later;
    std::uint64_t body = body_count_;
    for (auto run = bodies_.rbegin(); run != bodies_.rend(); ++run) {
      for (std::uint64_t frame = std::uint64_t{run->first} + run->count; frame-- != run->first;) {
        --body;
        if (later.has(frame)) {
          superseded_.add(body);
          ++superseded_count_;
        } else {
          later.add(frame);
        }
      }
    }
  }

  /// `run` in pieces that are superseded or not.
  void split(const XenRun& run, std::uint64_t first_body, std::vector<XenRun>& out) const {
    for (std::uint64_t at = 0; at < run.count; ++at) {
      const bool superseded = superseded_.has(first_body + at);
      if (at == 0 || out.back().superseded != superseded) out.push_back({run.type, superseded, run.first + at, 0});
      ++out.back().count;
    }
  }

  Result<Bytes> rewrite(XenRecipeReader& pieces, std::uint64_t file_bytes) const {
    XenRecipeWriter writer;
    std::vector<XenRun> runs;
    std::uint64_t body = 0;
    while (true) {
      SNAP_TRY_ASSIGN(piece, pieces.next());
      if (piece.kind == XenPiece::kEnd) return writer.finish(file_bytes);
      if (piece.kind == XenPiece::kLiteral) {
        writer.literal(piece.bytes);
        continue;
      }
      runs.clear();
      for (const XenRun& run : piece.runs) {
        if (!has_xen_body(run.type)) {
          runs.push_back(run);
          continue;
        }
        split(run, body, runs);
        body += run.count;
      }
      writer.pages(runs);
      if (writer.bytes() > most_bytes_) return fail(Code::kLimit, "pages that come again in more pieces than are kept");
    }
  }

  std::uint64_t most_bytes_;
  std::deque<Bodies> bodies_;
  std::uint64_t body_count_ = 0;
  std::uint64_t superseded_count_ = 0;
  PageSet superseded_;  // by the body's number in the file
};

}  // namespace

Result<std::uint64_t> mark_superseded(Bytes& recipe, std::uint64_t most_bytes) { return SupersededMarks(most_bytes).apply(recipe); }

}  // namespace snap
