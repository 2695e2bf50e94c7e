// SPDX-License-Identifier: Apache-2.0
// A Xen save file made again as its recipe says.
#include <algorithm>

#include "base/fail.h"
#include "vmm/assembly.h"
#include "vmm/little_endian.h"
#include "vmm/stream_digest.h"
#include "vmm/xen.h"
#include "vmm/xen_recipe.h"

namespace snap {
namespace {

constexpr std::uint64_t kMaxReadRecipe = 4 * kMaxXenRecipeBytes;  // more than what is written
constexpr std::size_t kFramesAtOnce = Assembly::kMostRoom / kXenFrameBytes;
constexpr const char* kPastMemory = "the recipe of the Xen save file goes past the end of memory";
constexpr const char* kOtherSize = "the recipe of the Xen save file gives another size than it says";

class XenExport {
 public:
  XenExport(Reader& reader, ByteSink& sink, const ExportOptions& options) : reader_(reader), sink_(sink), out_(reader, sink_, options) {}

  Result<VmstateExport> run() {
    if (!reader_.find(RegionKind::kState, kXenRecipeState)) return fail(Code::kNotFound, "the snapshot was not made from a Xen save file");
    ram_ = reader_.find(RegionKind::kMemory, kXenRamName);
    superseded_ = reader_.find(RegionKind::kState, kXenSupersededState);
    SNAP_TRY_ASSIGN(recipe, read_state(reader_, kXenRecipeState, kMaxReadRecipe));
    SNAP_TRY(out_.start());
    SNAP_TRY(pieces(recipe));
    SNAP_TRY(out_.finish());
    return compared(reader_, kXenDigestKey, sink_.digest());
  }

 private:
  Result<void> pieces(std::span<const std::byte> recipe) {
    XenRecipeReader reader(recipe);
    SNAP_TRY_ASSIGN(file_bytes, reader.open());
    left_ = file_bytes;
    while (true) {
      SNAP_TRY_ASSIGN(piece, reader.next());
      if (piece.kind == XenPiece::kEnd) break;
      if (piece.kind == XenPiece::kLiteral) {
        SNAP_TRY(count(piece.bytes.size()));
        SNAP_TRY(out_.bytes(piece.bytes));
      } else {
        SNAP_TRY(page_data(piece.runs));
      }
    }
    if (left_ != 0) return corrupt(file_bytes - left_, kOtherSize);
    return {};
  }

  /// A hostile recipe says much in few bytes.
  Result<void> count(std::uint64_t bytes) {
    if (bytes > left_) return corrupt(0, kOtherSize);
    left_ -= bytes;
    return {};
  }

  Result<void> page_data(std::span<const XenRun> runs) {
    std::uint64_t frames = 0;
    std::uint64_t bodies = 0;
    for (const XenRun& run : runs) {
      frames += run.count;
      if (has_xen_body(run.type)) bodies += run.count;
    }
    const std::uint64_t record = kXenPageDataHeadBytes + frames * kXenFrameBytes + bodies * kPageBytes;
    SNAP_TRY(count(kXenRecordHeadBytes + record));
    SNAP_TRY_ASSIGN(head, out_.room(kXenRecordHeadBytes + kXenPageDataHeadBytes));
    store_le(head.data(), kXenPageData);
    store_le(head.data() + 4, static_cast<std::uint32_t>(record));
    store_le(head.data() + 8, static_cast<std::uint32_t>(frames));
    store_le(head.data() + 12, std::uint32_t{0});
    for (const XenRun& run : runs) SNAP_TRY(list(run));
    for (const XenRun& run : runs) {
      if (has_xen_body(run.type)) SNAP_TRY(bodies_of(run));
    }
    return {};
  }

  Result<void> list(const XenRun& run) {
    const std::uint64_t type = std::uint64_t{run.type} << kXenTypeShift;
    for (std::uint64_t done = 0; done < run.count;) {
      const std::uint64_t now = std::min<std::uint64_t>(run.count - done, kFramesAtOnce);
      SNAP_TRY_ASSIGN(to, out_.room(static_cast<std::size_t>(now * kXenFrameBytes)));
      for (std::uint64_t i = 0; i < now; ++i) store_le(to.data() + i * kXenFrameBytes, type | (run.first + done + i));
      done += now;
    }
    return {};
  }

  Result<void> bodies_of(const XenRun& run) {
    const auto& from = run.superseded ? superseded_ : ram_;
    std::uint64_t first = run.superseded ? superseded_page_ : run.first;
    const std::uint64_t pages = from ? reader_.regions()[*from].size / kPageBytes : 0;
    if (first > pages || run.count > pages - first) return corrupt(0, kPastMemory, first);
    if (run.superseded) superseded_page_ += run.count;
    return out_.region(*from, first * kPageBytes, run.count * kPageBytes);
  }

  Reader& reader_;
  DigestingSink sink_;
  Assembly out_;
  std::optional<std::size_t> ram_;
  std::optional<std::size_t> superseded_;
  std::uint64_t superseded_page_ = 0;
  std::uint64_t left_ = 0;
};

}  // namespace

Result<VmstateExport> export_xen(Reader& reader, ByteSink& sink, const ExportOptions& options) {
  return XenExport(reader, sink, options).run();
}

}  // namespace snap
