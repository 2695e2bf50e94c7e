// SPDX-License-Identifier: Apache-2.0
#include "restore/units.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "base/fail.h"
#include "base/threads.h"

namespace snap {

namespace {

constexpr std::size_t kUnitBytes = 2u << 20;
// Records that follow each other are read in one go, up to so many bytes.
constexpr std::size_t kMaxSpan = 8u << 20;
// Fewer pages than these come cheaper one by one.
constexpr std::uint32_t kLeastFaultIn = 2;

// A fault for each page costs as much as a fifth of its decoding: the pages of a block are made by one call where they are
// neighbours. What the kernel refuses comes with the first write instead.
void fault_in(const BlockView& view, std::span<std::byte> out) {
#ifdef MADV_POPULATE_WRITE
  for (std::uint32_t first = 0; first < view.pages();) {
    std::uint32_t last = first;
    while (last < view.pages() && view.kind(last) != wire::kZero) ++last;
    if (last - first >= kLeastFaultIn) {
      ::madvise(out.data() + std::size_t{first} * kPageBytes, std::size_t{last - first} * kPageBytes, MADV_POPULATE_WRITE);
    }
    first = last + 1;
  }
#else
  static_cast<void>(view);
  static_cast<void>(out);
#endif
}

}  // namespace

UnitDecoder::UnitDecoder(Image& image, std::size_t region, const ParentLink* link, bool fresh)
    : image_(image),
      region_(region),
      link_(link),
      fresh_(fresh),
      blocks_per_unit_(std::max<std::uint64_t>(1, kUnitBytes / image.header().block_bytes())),
      count_(ceil_div(image.blocks(region), blocks_per_unit_)) {}

Unit UnitDecoder::unit(std::uint64_t index) const {
  const std::uint64_t first = index * blocks_per_unit_;
  const std::uint64_t blocks = std::min(blocks_per_unit_, image_.blocks(region_) - first);
  const std::uint64_t offset = first << image_.header().block_log2;
  const std::uint64_t end = page_count(image_.size(region_)) * kPageBytes;
  return {index, first, blocks, offset, static_cast<std::size_t>(std::min(blocks << image_.header().block_log2, end - offset))};
}

Result<void> UnitDecoder::decode(const Unit& unit, std::span<std::byte> out, Target target, Scratch& scratch, Bytes& span, UnitDone& done) {
  done.copies.clear();
  done.present.assign(unit.block_count, false);
  done.raw.assign(ceil_div(unit_pages(), 64), 0);
  std::vector<Wanted> wanted;
  for (std::uint64_t i = 0; i < unit.block_count; ++i) {
    SNAP_TRY_ASSIGN(entry, image_.find(region_, unit.first_block + i));
    done.present[i] = entry.has_value();
    if (entry) wanted.push_back({unit.first_block + i, entry->record});
  }
  std::vector<PendingCopy> pending;
  for (std::size_t first = 0; first < wanted.size();) {
    std::size_t last = first + 1;
    std::uint64_t bytes = wanted[first].record.record_bytes;
    while (last < wanted.size() && wanted[last].record.offset == wanted[last - 1].record.offset + wanted[last - 1].record.record_bytes &&
           bytes + wanted[last].record.record_bytes <= kMaxSpan) {
      bytes += wanted[last++].record.record_bytes;
    }
    SNAP_TRY(decode_run(std::span(wanted).subspan(first, last - first), unit, out, target, scratch, span, pending, done));
    first = last;
  }
  return {};
}

void UnitDecoder::clear_absent(const Unit& unit, std::span<std::byte> out, const UnitDone& done) const {
  for (std::uint64_t i = 0; i < unit.block_count; ++i) {
    if (done.present[i]) continue;
    const std::size_t at = static_cast<std::size_t>(i << image_.header().block_log2);
    std::fill_n(out.data() + at, std::min<std::size_t>(image_.header().block_bytes(), out.size() - at), std::byte{0});
  }
}

Result<void> UnitDecoder::decode_run(std::span<const Wanted> run, const Unit& unit, std::span<std::byte> out, Target target, Scratch& scratch,
                                     Bytes& span, std::vector<PendingCopy>& pending, UnitDone& done) {
  const std::uint64_t start = run.front().record.offset;
  const std::uint64_t bytes = run.back().record.offset + run.back().record.record_bytes - start;
  if (bytes > kMaxSpan + format::kMaxBodyBytes) return corrupt(start, "a record is over its limit");
  if (span.size() < bytes) span.resize(bytes);
  SNAP_TRY(read_exact(image_.source(), start, std::span(span).first(bytes), "the file became shorter"));
  for (const Wanted& wanted : run) {
    Record record;
    const auto at = std::span(span).subspan(wanted.record.offset - start, wanted.record.record_bytes);
    SNAP_TRY_ASSIGN(view, image_.view(wanted.record, region_, wanted.block, at, record));
    const std::size_t in_unit = static_cast<std::size_t>((wanted.block - unit.first_block) << image_.header().block_log2);
    const auto to = out.subspan(in_unit, std::size_t{view.pages()} * kPageBytes);
    if (fresh_) fault_in(view, to);
    pending.clear();
    std::uint32_t allowance = ReadTask::kAllowance;
    SNAP_TRY(decode_block(record, view, image_.header(), to, target, scratch, pending, link_, {.allowance = &allowance}));
    const std::uint64_t first_page = wanted.block * image_.header().block_pages();
    const std::uint64_t in_unit_page = first_page - unit.offset / kPageBytes;
    for (std::uint32_t page = 0; page < view.pages(); ++page) {
      if (view.kind(page) == wire::kRaw) done.raw[(in_unit_page + page) / 64] |= std::uint64_t{1} << (in_unit_page + page) % 64;
    }
    for (const PendingCopy& copy : pending) done.copies.push_back({first_page + copy.page, copy.source});
  }
  return {};
}

Result<void> UnitRunner::run(const std::function<Work()>& make_work) {
  if (options_.threads == 0) {
    loop(make_work());
  } else {
    ThreadGroup threads;
    const auto started = threads.start(options_.threads, [&](unsigned) {
      try {
        loop(make_work());
      } catch (const std::bad_alloc&) {
        note(fail(Code::kNoMemory, "out of memory"));
      }
    });
    if (!started) note(started.error());
    threads.join();
  }
  if (error_.code != Code::kOk) return error_;
  return {};
}

void UnitRunner::loop(const Work& work) {
  while (!stopped()) {
    std::uint64_t index = 0;
    {
      const std::lock_guard lock(mutex_);
      if (next_ == decoder_.count()) return;
      index = next_++;
    }
    const Unit unit = decoder_.unit(index);
    UnitDone done;
    if (auto result = work(unit, done); !result) return note(result.error());
    if (auto result = complete(index, std::move(done)); !result) return note(result.error());
    if (options_.progress != nullptr) *options_.progress += unit.bytes;
  }
}

// The copies of finished units whose forerunners are finished too. Their sources lie before them, so they are in place.
Result<void> UnitRunner::complete(std::uint64_t index, UnitDone done) {
  std::vector<std::vector<UnitCopy>> ready;
  {
    const std::lock_guard lock(mutex_);
    if (done_.size() <= index - front_) done_.resize(index - front_ + 1);
    done_[index - front_] = std::move(done);
    done_[index - front_].finished = true;
    for (; !done_.empty() && done_.front().finished; ++front_) {
      SNAP_TRY(verify_sources(front_, done_.front()));
      ready.push_back(std::move(done_.front().copies));
      done_.pop_front();
    }
  }
  for (const auto& copies : ready) {
    if (!copies.empty()) SNAP_TRY(apply_(copies));
  }
  return {};
}

// A copy of a page that is itself a copy might not be in place yet, and is not legal.
Result<void> UnitRunner::verify_sources(std::uint64_t index, UnitDone& done) {
  // The copy window counts records: units that have none do not use it up.
  if (std::find(done.present.begin(), done.present.end(), true) != done.present.end()) {
    raw_.emplace_hint(raw_.end(), index, std::move(done.raw));
  }
  while (raw_.size() > decoder_.copy_window() + 1) raw_.erase(raw_.begin());
  for (const UnitCopy& copy : done.copies) {
    if (copy.source.of_parent || copy.source.page.region != region_) continue;
    const auto at = raw_.find(copy.source.page.page / decoder_.unit_pages());
    const std::size_t page = copy.source.page.page % decoder_.unit_pages();
    if (at == raw_.end() || (at->second[page / 64] >> page % 64 & 1) == 0) {
      return corrupt(0, "a copy of a page that is not raw", copy.page);
    }
  }
  return {};
}

void UnitRunner::note(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (error_.code == Code::kOk) error_ = error;
}

bool UnitRunner::stopped() {
  if (options_.cancel != nullptr && *options_.cancel) note(fail(Code::kCancelled, "cancelled"));
  const std::lock_guard lock(mutex_);
  return error_.code != Code::kOk;
}

}  // namespace snap
