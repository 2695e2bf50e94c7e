// SPDX-License-Identifier: Apache-2.0
// Making a snapshot: one pass, front to back, on all cores, in bounded memory.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "snap/io.h"
#include "snap/model.h"
#include "snap/reader.h"
#include "snap/result.h"

#pragma GCC visibility push(default)
namespace snap {

/// Where the pages of a parent's memory stand, by their content and by pieces of it, so that writers find those that moved and
/// those that a block has much in common with. One serves any number of writers at a time.
class ParentPages {
 public:
  struct Options {
    unsigned threads = 1;  ///< worker threads; 0: all work in the caller's thread
    std::atomic<std::uint64_t>* progress = nullptr;  ///< bytes of the parent's memory dealt with
    const std::atomic<bool>* cancel = nullptr;
  };
  /// Decodes the parent once. Takes about 500 bytes for each of its pages that is not zero, and at most 192 MiB: what does not fit is
  /// not found later.
  static Result<std::unique_ptr<ParentPages>> index(Reader& parent, const Options& options);
  virtual ~ParentPages() = default;
};

/// How pages that differ from the parent's are stored. kAuto is the one to use; the others are for measuring.
enum class DeltaForm {
  kAuto,        ///< by SPEC 12, "How a writer chooses"
  kRaw,         ///< as they are
  kXor,         ///< XORed with the parent's
  kDictionary,  ///< as they are, compressed over the parent's block (zstd)
};

struct WriterOptions {
  std::uint32_t block_bytes = 64 * 1024;  ///< a power of two, 16 KiB … 4 MiB
  Codec codec = Codec::kZstd;
  /// lz4: 1 fast, -1…-100 faster, 2…12 HC; zstd: 1…22 and the negative levels; store: 0. kDefaultLevel: lz4 1, zstd 3.
  int level = kDefaultLevel;
  bool dedup = true;         ///< store a page that was stored before as a copy
  unsigned threads = 1;      ///< worker threads; 0: all work in the caller's thread
  /// A directory descriptor for the unlinked spool file of begin_region(kAnyOrder); -1: /var/tmp.
  int spool_dir_fd = -1;

  /// The snapshot becomes a difference against this one, which must outlive the writer. Held decoded (hold_in_memory), it is
  /// compared at memory speed.
  Reader* parent = nullptr;
  std::string parent_hint{};                   ///< the parent's file name, without any directory; may be empty
  const ParentPages* parent_pages = nullptr;   ///< of that parent; null: pages that moved are not looked for
  DeltaForm delta = DeltaForm::kAuto;

  static constexpr int kDefaultLevel = -1000;
};

/// Whether pages of a region come in ascending order, or in any order and repeatedly (the last one wins).
enum class PageOrder { kAscending, kAnyOrder };

/// The same calls with the same bytes give the same file, whatever `threads` is. After an error every later call answers that error.
/// One thread at a time.
class Writer {
 public:
  /// The sink must outlive the writer. Nothing is written before the first region or finish().
  static Result<std::unique_ptr<Writer>> create(ByteSink& sink, const WriterOptions& options);
  virtual ~Writer() = default;

  /// Between regions only. Keys: a-z 0-9 . _ - /. The last value of a key counts.
  virtual Result<void> set_metadata(std::string_view key, std::string_view value) = 0;

  /// Between regions; stored at finish(), which refuses ranges that cannot be one (snap/working_set.h). The last one counts; empty: none.
  virtual Result<void> set_working_set(std::span<const TouchedRange> ranges) = 0;

  /// Regions are written one after another. info.size may be kUnknownSize; then end_region() settles it.
  virtual Result<void> begin_region(const RegionInfo& info, PageOrder order = PageOrder::kAscending) = 0;
  /// kAscending: the next bytes. The data is copied.
  virtual Result<void> write(std::span<const std::byte> bytes) = 0;
  /// kAscending: the next `bytes` bytes are zero.
  virtual Result<void> skip(std::uint64_t bytes) = 0;
  /// kAscending: the next `length` bytes are those of `source` at `offset`; the workers read them themselves. The source must
  /// stay until end_region(). Bytes past the end of the source are an error.
  virtual Result<void> write_from(RandomSource& source, std::uint64_t offset, std::uint64_t length) = 0;
  /// kAscending: the rest of the region is what `source` gives until it ends; only end_region() may follow. The workers read it,
  /// one at a time; when this returns, none does any more.
  virtual Result<void> write_rest(ByteSource& source) = 0;
  /// kAnyOrder: bytes at `offset` of the region, again or not. What is never written is zero.
  virtual Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// With a size announced, missing bytes at the end are an error in kAscending and zero in kAnyOrder.
  virtual Result<void> end_region() = 0;

  /// Writes the rest of the file; answers the snapshot's digest. Making the file durable is the caller's (AtomicFile::commit).
  virtual Result<Digest> finish() = 0;

  /// Bytes of regions taken so far, and bytes of the file written so far. From any thread.
  virtual std::uint64_t taken_bytes() const = 0;
  virtual std::uint64_t written_bytes() const = 0;
};

/// A region of a snapshot as what write_from() reads: a writer's workers decode what they compress.
class RegionSource : public RandomSource {
 public:
  /// `failed`, where not null, is set once the region cannot be read.
  RegionSource(Reader& reader, std::size_t region, std::atomic<bool>* failed) : reader_(reader), region_(region), failed_(failed) {}
  Result<std::uint64_t> size() override;
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override;
  /// Where data and zeros change, as Reader::extent().
  virtual Result<Extent> extent(std::uint64_t offset);

 protected:
  Reader& reader() { return reader_; }

 private:
  Reader& reader_;
  std::size_t region_;
  std::atomic<bool>* failed_;
};

/// A whole region; stretches of zeros are skipped. Nobody reads the source any more when this returns, whatever it answers.
Result<void> write_region(Writer& writer, const RegionInfo& info, RegionSource& source, std::atomic<std::uint64_t>* progress,
                          const std::atomic<bool>* cancel);

/// A whole state in one call.
Result<void> write_state(Writer& writer, std::string_view name, std::span<const std::byte> bytes);

}  // namespace snap
#pragma GCC visibility pop
