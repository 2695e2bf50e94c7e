// SPDX-License-Identifier: Apache-2.0
// A region cut into units that threads decode in any order, with copies put right in order behind them.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "read/image.h"
#include "snap/restore.h"

namespace snap {

/// Neighbouring blocks: the work a thread takes at once. At least 2 MiB of a guest's memory, so that huge pages fault once.
struct Unit {
  std::uint64_t index = 0;
  std::uint64_t first_block = 0;
  std::uint64_t block_count = 0;
  std::uint64_t offset = 0;  // of the region
  std::size_t bytes = 0;     // up to whole pages
};

/// A copy of a page of an earlier place.
struct UnitCopy {
  std::uint64_t page = 0;  // in the region
  CopyRef source;
};

/// What is known of a unit that is decoded.
struct UnitDone {
  std::vector<bool> present;            // by block of the unit: it has a record
  std::vector<std::uint64_t> raw;       // a bit for each page that is raw
  std::vector<UnitCopy> copies;
  bool finished = false;
};

class UnitDecoder {
 public:
  /// `link`: a child's. `fresh`: what is decoded into is memory that has no pages yet.
  UnitDecoder(Image& image, std::size_t region, const ParentLink* link, bool fresh);

  std::uint64_t count() const { return count_; }
  Unit unit(std::uint64_t index) const;
  std::size_t unit_pages() const { return blocks_per_unit_ * image_.header().block_pages(); }
  std::size_t copy_window() const { return image_.header().copy_window; }
  std::size_t unit_bytes() const { return blocks_per_unit_ * image_.header().block_bytes(); }

  /// Decodes a unit's blocks into `out` (unit.bytes). Copies are left for later, blocks without a record alone.
  Result<void> decode(const Unit& unit, std::span<std::byte> out, Target target, Scratch& scratch, Bytes& span, UnitDone& done);
  /// Zeros the blocks without a record.
  void clear_absent(const Unit& unit, std::span<std::byte> out, const UnitDone& done) const;

 private:
  struct Wanted {
    std::uint64_t block = 0;
    RecordRef record;
  };
  Result<void> decode_run(std::span<const Wanted> run, const Unit& unit, std::span<std::byte> out, Target target, Scratch& scratch,
                          Bytes& span, std::vector<PendingCopy>& pending, UnitDone& done);

  Image& image_;
  std::size_t region_;
  const ParentLink* link_;
  bool fresh_;
  std::uint64_t blocks_per_unit_;
  std::uint64_t count_;
};

/// Runs `work` for all units on `threads` threads (0: here). Copies of a unit are applied when it and all before it are done.
class UnitRunner {
 public:
  using Work = std::function<Result<void>(const Unit& unit, UnitDone& done)>;
  using Apply = std::function<Result<void>(std::span<const UnitCopy> copies)>;

  UnitRunner(const UnitDecoder& decoder, std::size_t region, const RestoreOptions& options, Apply apply)
      : decoder_(decoder), region_(region), options_(options), apply_(std::move(apply)) {}

  /// `make_work` is called once a thread.
  Result<void> run(const std::function<Work()>& make_work);

 private:
  void loop(const Work& work);
  Result<void> complete(std::uint64_t index, UnitDone done);
  Result<void> verify_sources(std::uint64_t index, UnitDone& done);
  void note(const Error& error);
  bool stopped();

  const UnitDecoder& decoder_;
  std::size_t region_;
  const RestoreOptions& options_;
  Apply apply_;
  std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::uint64_t front_ = 0;  // all units before it are done
  std::deque<UnitDone> done_;  // from front_ on
  std::map<std::uint64_t, std::vector<std::uint64_t>> raw_;  // raw pages of units before front_, as far back as copies reach
  Error error_;
};

}  // namespace snap
