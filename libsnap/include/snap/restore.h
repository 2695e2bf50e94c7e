// SPDX-License-Identifier: Apache-2.0
// Giving a guest's memory back whole, at memory speed.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "snap/io.h"
#include "snap/reader.h"

#pragma GCC visibility push(default)
namespace snap {

struct RestoreOptions {
  unsigned threads = 1;  ///< worker threads; 0: all work in the caller's thread
  /// The target already reads as zeros (a fresh anonymous mapping, a new sparse file): zero pages are not touched.
  bool target_is_zero = true;
  std::atomic<std::uint64_t>* progress = nullptr;  ///< counts bytes of the region dealt with; may be null
  const std::atomic<bool>* cancel = nullptr;       ///< set by another thread or a signal handler: ends with kCancelled
};

/// A region into memory of its size. After an error the content of `memory` is undefined.
Result<void> restore_to_memory(Reader& reader, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options);

/// A region into a file (a regular file or a block device, open for writing) from `file_offset` on. Zeros become holes where
/// target_is_zero. The file's size afterwards is at least file_offset + region size. Nothing is synced.
Result<void> restore_to_file(Reader& reader, std::size_t region, int fd, std::uint64_t file_offset, const RestoreOptions& options);

/// A region in order into a sink (a pipe), decoded ahead on `threads` workers.
Result<void> restore_to_sink(Reader& reader, std::size_t region, ByteSink& sink, const RestoreOptions& options);

/// Bytes of a region, or as many zeros where `bytes` is empty.
struct RegionPiece {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::span<const std::byte> bytes;
};
/// Appends to `out` what stands for a piece in another format. Called on the workers, for pieces in any order: what comes out must not
/// depend on that.
using PieceEncoder = std::function<Result<void>(const RegionPiece& piece, std::vector<std::byte>& out)>;
/// The same with each piece encoded; pieces are of whole pages but for a region's end, and what `encode` gives goes out in their order.
Result<void> restore_encoded(Reader& reader, std::size_t region, const PieceEncoder& encode, ByteSink& sink, const RestoreOptions& options);

/// A difference over memory that holds its parent's bytes of the region (zero where the parent has none): afterwards it holds the
/// child's. Only pages that differ are touched, so this is how many children are restored over private mappings of one base.
/// `memory` has the child's size. options.target_is_zero means nothing here; progress counts the child's bytes.
Result<void> apply_changes(Reader& child, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options);

/// A snapshot whose memory regions are decoded, once, for many to use: as the parent of readers and writers, and to be mapped.
class HeldSnapshot : public Reader {
 public:
  /// A sealed memory file with the region's bytes, to be mapped privately; -1 for a region that is not held (states). The
  /// descriptor stays the snapshot's.
  virtual int memory_fd(std::size_t region) const = 0;
};

/// Decodes the memory regions of `reader`, which must outlive what comes back, on options.threads threads.
Result<std::unique_ptr<HeldSnapshot>> hold_in_memory(Reader& reader, const RestoreOptions& options);
/// The same of one memory region. `name` is what /proc calls the memory file: at most 200 bytes.
Result<std::unique_ptr<HeldSnapshot>> hold_region(Reader& reader, std::size_t region, const char* name, const RestoreOptions& options);
/// The same with a memory file in which somebody held the region before. It must be sealed and of the region's size; that it has the
/// region's bytes is the caller's word. The descriptor stays the caller's.
Result<std::unique_ptr<HeldSnapshot>> hold_with(Reader& reader, std::size_t region, int memory_fd);

/// A stretch of whole pages that differ from the parent's; of a snapshot that stands alone, pages that are not zero. The last may
/// reach to the end of a region that ends inside a page.
struct ChangedRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool zero = false;  ///< became zero
};
using ChangeVisitor = std::function<Result<void>(const ChangedRange& range)>;
/// Calls `visit` for each, ascending. Nothing is decoded: the page maps of the blocks that have records are read, and checked. The
/// parent is not needed: see ReaderOptions::without_parent.
Result<void> visit_changes(Reader& reader, std::size_t region, const ChangeVisitor& visit);

/// The same against `base`, which is the snapshot itself, its parent, or a parent further up: the pages that may differ, of the
/// region's whole chain down to the base. kParentMismatch where the base is none of these. Needs the chain open.
Result<void> visit_changes_since(Reader& reader, std::size_t region, Reader& base, const ChangeVisitor& visit);

/// restore_encoded() of these stretches alone, which are ascending and of whole pages.
Result<void> restore_encoded(Reader& reader, std::size_t region, std::span<const ChangedRange> ranges, const PieceEncoder& encode, ByteSink& sink,
                             const RestoreOptions& options);

/// What reading one page takes where nothing is cached: the files of the chain that are read, and the bytes of the block records.
/// (The index, which soon is in a cache, does not count.)
struct ReadCost {
  std::uint64_t pages = 0;  ///< that it was worked out for
  double mean_files = 0;
  double mean_bytes = 0;
  unsigned worst_files = 0;
  std::uint64_t worst_bytes = 0;
};
/// Of all pages of a region, from the indexes and page maps of the chain, which are read and checked; nothing is decoded. kLimit where
/// a chain is so entangled that telling would take too long. The readers must be those that Reader::open() gave.
Result<ReadCost> read_cost(Reader& reader, std::size_t region);

/// What a front-to-back reader delivers, in file order, from one thread.
class StreamVisitor {
 public:
  virtual ~StreamVisitor() = default;
  /// A region opens; info.size may be kUnknownSize.
  virtual Result<void> region_begin(std::size_t region, const RegionInfo& info) = 0;
  /// Bytes of the open region, ascending. What is left out is zero. Never past the size, even where region_end() tells it first.
  virtual Result<void> region_bytes(std::size_t region, std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual Result<void> region_end(std::size_t region, std::uint64_t size) = 0;
};

struct StreamResult {
  Digest digest;
  Metadata metadata;
  std::uint64_t file_bytes = 0;
  std::vector<TouchedRange> working_set;  ///< as read_working_set() gives it; empty where there is none, or none that can be
};

/// Reads a snapshot front to back from a pipe in bounded memory (at most the copy window and a few blocks).
/// What the visitor got is certain only when this returns without error. A snapshot that is a difference needs its `parent`, of which
/// `find_parent` is told as soon as the stream has named it.
using FindParent = std::function<Result<Reader*>(const ParentRef& parent)>;
Result<StreamResult> read_stream(ByteSource& source, StreamVisitor& visitor, const FindParent& find_parent = nullptr);

}  // namespace snap
#pragma GCC visibility pop
