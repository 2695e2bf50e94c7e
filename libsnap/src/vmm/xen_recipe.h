// SPDX-License-Identifier: Apache-2.0
// How a Xen save file is made again from what a snapshot keeps of it: the state "xen.recipe". docs/import-xen.md is the reference of
// its bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "snap/result.h"

namespace snap {

inline constexpr std::string_view kXenRecipeMagic = "XENSAVE1";
/// What an import makes at most: all that is not memory, and about 4 bytes for each run of frames of one type.
inline constexpr std::uint64_t kMaxXenRecipeBytes = 64u << 20;

/// Frames of one type whose numbers follow each other.
struct XenRun {
  unsigned type = 0;
  bool superseded = false;  ///< the bodies are not the frames' last ones: they stand in the state "xen.superseded"
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// A piece of the file: bytes as they are, or a PAGE_DATA record.
struct XenPiece {
  enum Kind : std::uint8_t { kEnd = 0, kLiteral = 1, kPages = 2 } kind = kEnd;
  std::span<const std::byte> bytes;  ///< kLiteral
  std::span<const XenRun> runs;      ///< kPages; valid until the next piece is taken
};

class XenRecipeWriter {
 public:
  void literal(std::span<const std::byte> bytes) { append(literal_, bytes); }
  void pages(std::span<const XenRun> runs);
  /// So far.
  std::size_t bytes() const { return out_.size() + literal_.size(); }
  Bytes finish(std::uint64_t file_bytes);

 private:
  void flush();

  Bytes out_;
  Bytes literal_;
  std::uint64_t next_frame_ = 0;  // behind the last run
};

/// Takes pieces one by one. The bytes are hostile.
class XenRecipeReader {
 public:
  explicit XenRecipeReader(std::span<const std::byte> recipe) : in_(recipe), bytes_(recipe.size()) {}
  /// Checks the head, answers the file's size.
  Result<std::uint64_t> open();
  Result<XenPiece> next();

 private:
  bool take_runs();
  bool take_run(XenRun& run);
  std::uint64_t offset() const { return bytes_ - in_.rest().size(); }

  ByteReader in_;
  std::uint64_t bytes_;
  std::vector<XenRun> runs_;
  std::uint64_t next_frame_ = 0;
};

/// The same recipe with those bodies marked that come again later. Answers their number; 0 leaves the recipe as it is. kLimit where it
/// becomes larger than `most_bytes`. Takes at most three times the recipe's size of memory meanwhile, and a bit for each body.
Result<std::uint64_t> mark_superseded(Bytes& recipe, std::uint64_t most_bytes = kMaxXenRecipeBytes);

}  // namespace snap
