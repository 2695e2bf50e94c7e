// SPDX-License-Identifier: Apache-2.0
// What one page costs to read, told by indexes and page maps: runs of pages go down the chain together, and only copies and pages
// over a dictionary are followed one by one.
#include <algorithm>
#include <array>
#include <deque>
#include <list>
#include <unordered_map>

#include "base/fail.h"
#include "read/opened.h"
#include "restore/record_window.h"
#include "snap/restore.h"

namespace snap {

namespace {

constexpr std::size_t kMapBytes = 64u << 20;          // of page maps kept
constexpr std::uint64_t kMostSteps = 1u << 28;        // in all
constexpr std::uint64_t kLeastReadBytes = 64u << 20;  // of what may be read more often than once
constexpr std::size_t kDictionaries = 8;              // whose records are remembered
constexpr std::size_t kMostFiles = format::kMaxParents + 1;

constexpr Error kEntangled{.code = Code::kLimit, .what = "the pages of the chain are too entangled to tell what they cost"};

/// What is kept of a block's record.
struct PageMap {
  RecordRef record;
  bool over_parent = false;
  std::vector<std::uint8_t> kinds;
  std::vector<std::uint64_t> copies;  // encoded, in page order
  std::vector<std::uint64_t> named;   // pages of the parent in the dictionary
  std::size_t memory_bytes() const { return sizeof *this + 64 + kinds.size() + (copies.size() + named.size()) * sizeof copies[0]; }
  CopyRef copy(std::size_t page) const {
    const auto before = std::count(kinds.begin(), kinds.begin() + static_cast<std::ptrdiff_t>(page), wire::kCopy);
    return decode_copy(copies[static_cast<std::size_t>(before)]);
  }
};
using MapPtr = std::shared_ptr<const PageMap>;

/// Files read and bytes of records.
struct Cost {
  unsigned files = 0;
  std::uint64_t bytes = 0;
  Cost operator+(const Cost& other) const { return {files + other.files, bytes + other.bytes}; }
};

/// Records of several files of a chain, each once.
class RecordSet {
 public:
  RecordSet() { last_.fill(~std::uint64_t{0}); }
  Result<void> add(unsigned file, const RecordRef& record) {
    if (last_[file] == record.offset) return {};
    last_[file] = record.offset;
    items_.push_back({file, record.offset, record.record_bytes});
    return items_.size() < 2 * std::size_t{ReadTask::kAllowance} ? Result<void>() : settle();
  }
  Result<void> add(const RecordSet& others) {
    for (const Item& item : others.items_) SNAP_TRY(add(item.file, {item.offset, item.bytes, 0}));
    return {};
  }
  Result<Cost> cost() {
    SNAP_TRY(settle());
    Cost cost;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      cost.files += i == 0 || items_[i].file != items_[i - 1].file ? 1 : 0;
      cost.bytes += items_[i].bytes;
    }
    return cost;
  }
  /// Each once; as many as a reader may refuse are refused, which a list that is not settled does not tell.
  Result<void> settle() {
    std::sort(items_.begin(), items_.end());
    items_.erase(std::unique(items_.begin(), items_.end()), items_.end());
    if (items_.size() > ReadTask::kAllowance) return fail(Code::kLimit, "a block that needs too many blocks of its chain");
    return {};
  }
  std::size_t size() const { return items_.size(); }

 private:
  struct Item {
    unsigned file = 0;
    std::uint64_t offset = 0;
    std::uint32_t bytes = 0;
    friend auto operator<=>(const Item&, const Item&) = default;
  };
  std::vector<Item> items_;
  std::array<std::uint64_t, kMostFiles> last_;
};

/// The page maps of a chain's blocks, as many as there is room for.
class PageMaps {
 public:
  struct File {
    Image* image = nullptr;
    const ParentLink* link = nullptr;
    RecordWindow window{};
  };

  Result<void> open(Reader& reader) {
    std::uint64_t bytes = 0;
    for (Reader* each = &reader; each != nullptr; each = each->parent()) {
      auto* opened = dynamic_cast<OpenedImage*>(each);
      if (opened == nullptr || files_.size() == kMostFiles) return invalid("a reader of another kind");
      files_.push_back({&opened->image(), opened->link()});
      bytes += each->file_bytes();
    }
    read_left_ = kLeastReadBytes + 4 * bytes;
    return {};
  }
  const File& file(unsigned number) const { return files_[number]; }

  /// Null where the block has no record. `in_order`: its neighbours are likely to be asked for next.
  Result<MapPtr> get(unsigned file, std::size_t region, std::uint64_t block, bool in_order) {
    auto map = find(file, region, block, in_order);
    if (map) return map;
    return of_ancestor(map.error(), file);
  }

 private:
  Result<MapPtr> find(unsigned file, std::size_t region, std::uint64_t block, bool in_order) {
    const Key key{file, region, block};
    if (const auto kept = kept_.find(key); kept != kept_.end()) return kept->second;
    Image& image = *files_[file].image;
    SNAP_TRY_ASSIGN(entry, image.find(region, block));
    if (!entry) return MapPtr();
    if (entry->record.record_bytes > read_left_) return kEntangled;
    read_left_ -= entry->record.record_bytes;
    SNAP_TRY_ASSIGN(map, load(file, region, block, entry->record, in_order));
    bytes_ += map->memory_bytes();
    order_.push_back(key);
    kept_.emplace(key, map);
    while (bytes_ > kMapBytes) {
      const auto oldest = kept_.find(order_.front());
      bytes_ -= oldest->second->memory_bytes();
      kept_.erase(oldest);
      order_.pop_front();
    }
    return map;
  }

  Result<MapPtr> load(unsigned file, std::size_t region, std::uint64_t block, const RecordRef& ref, bool in_order) {
    Image& image = *files_[file].image;
    Record record;
    if (!in_order) {
      auto lease = image.scratches().take();
      SNAP_TRY_ASSIGN(view, image.fetch(ref, region, block, *lease, record));
      return summary(ref, view);
    }
    SNAP_TRY_ASSIGN(bytes, files_[file].window.bytes_of(image.source(), ref));
    SNAP_TRY_ASSIGN(view, image.view(ref, region, block, bytes, record));
    return summary(ref, view);
  }

  static MapPtr summary(const RecordRef& ref, const BlockView& view) {
    auto map = std::make_shared<PageMap>(PageMap{ref, view.over_parent(), {}, {}, named_pages(view)});
    map->kinds.reserve(view.pages());
    for (std::uint32_t page = 0; page < view.pages(); ++page) map->kinds.push_back(view.kind(page));
    map->copies.reserve(view.copy_count());
    for (std::uint32_t i = 0; i < view.copy_count(); ++i) map->copies.push_back(encode_copy(view.copy(i)));
    return map;
  }

  struct Key {
    unsigned file = 0;
    std::size_t region = 0;
    std::uint64_t block = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const {
      return static_cast<std::size_t>((key.block * 0x9e3779b97f4a7c15u) ^ (std::uint64_t{key.file} << 57) ^ (std::uint64_t{key.region} << 44));
    }
  };
  std::vector<File> files_;
  std::unordered_map<Key, MapPtr, Hash> kept_;
  std::deque<Key> order_;  // in which they came
  std::size_t bytes_ = 0;
  std::uint64_t read_left_ = 0;
};

/// Pages [first, end) of a file's region.
struct PageRun {
  unsigned file = 0;
  std::size_t region = 0;
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};

class CostWalk {
 public:
  Result<ReadCost> run(Reader& reader, std::size_t region) {
    SNAP_TRY(maps_.open(reader));
    SNAP_TRY(walk({0, region, 0, page_count(reader.regions()[region].size)}, {}));
    if (sum_.pages != 0) {
      sum_.mean_files /= static_cast<double>(sum_.pages);
      sum_.mean_bytes /= static_cast<double>(sum_.pages);
    }
    return sum_;
  }

 private:
  void account(std::uint64_t pages, const Cost& each) {
    if (pages == 0) return;
    sum_.pages += pages;
    sum_.mean_files += static_cast<double>(pages) * each.files;
    sum_.mean_bytes += static_cast<double>(pages) * static_cast<double>(each.bytes);
    sum_.worst_files = std::max(sum_.worst_files, each.files);
    sum_.worst_bytes = std::max(sum_.worst_bytes, each.bytes);
  }

  Result<void> step(std::uint64_t count = 1) { return (steps_ += count) > kMostSteps ? kEntangled : Result<void>(); }

  /// `before`: what the files above cost these pages.
  Result<void> walk(PageRun run, const Cost& before) {
    Image& image = *maps_.file(run.file).image;
    const std::uint64_t block_pages = image.header().block_pages();
    while (run.first < run.end) {
      SNAP_TRY(step());
      const std::uint64_t block = run.first / block_pages;
      auto present = image.next_present(run.region, block);
      if (!present) return of_ancestor(present.error(), run.file);
      PageRun part = run;
      part.end = std::min(run.end, (*present == block ? block + 1 : *present) * block_pages);
      SNAP_TRY(*present == block ? walk_block(part, block, before) : walk_below(part, before));
      run.first = part.end;
    }
    return {};
  }

  Result<void> walk_below(const PageRun& run, const Cost& before) {
    const ParentLink* link = maps_.file(run.file).link;
    if (link == nullptr) return account(run.end - run.first, before), Result<void>();
    const auto region = link->counterpart(run.region);
    const std::uint64_t covered = std::clamp(page_count(link->counterpart_bytes(run.region)), run.first, run.end);
    account(run.end - covered, before);
    if (covered == run.first || !region) return {};
    return walk({run.file + 1, *region, run.first, covered}, before);
  }

  Result<void> walk_block(const PageRun& run, std::uint64_t block, const Cost& before) {
    SNAP_TRY_ASSIGN(map, maps_.get(run.file, run.region, block, true));
    if (map == nullptr) return corrupt(0, "an index that changes while it is read", block);
    const Cost own = before + Cost{1, map->record.record_bytes};
    const std::uint64_t block_first = block * maps_.file(run.file).image->header().block_pages();
    const auto goes_down = [&](std::uint64_t page) {
      const std::uint8_t kind = map->kinds[page - block_first];
      return kind == wire::kSame || kind == wire::kXor;
    };
    std::optional<Cost> over_dictionary;
    for (std::uint64_t page = run.first; page < run.end;) {
      if (goes_down(page)) {
        PageRun part{run.file, run.region, page, page + 1};
        while (part.end < run.end && goes_down(part.end)) ++part.end;
        SNAP_TRY(walk_below(part, own));
        page = part.end;
        continue;
      }
      const bool raw = map->kinds[page - block_first] == wire::kRaw;
      if (raw && map->over_parent) {
        if (!over_dictionary) {
          SNAP_TRY_ASSIGN(cost, single(run, block, *map, page - block_first));
          over_dictionary = before + cost;
        }
        account(1, *over_dictionary);
      } else if (map->kinds[page - block_first] == wire::kCopy) {
        SNAP_TRY_ASSIGN(cost, single(run, block, *map, page - block_first));
        account(1, before + cost);
      } else {
        account(1, own);
      }
      ++page;
    }
    return {};
  }

  Result<Cost> single(const PageRun& run, std::uint64_t block, const PageMap& map, std::uint64_t page) {
    RecordSet records;
    SNAP_TRY(add_page(run.file, run.region, block, map, page, records));
    return records.cost();
  }

  /// All that is read for a page of a block that has a record.
  Result<void> add_page(unsigned file, std::size_t region, std::uint64_t block, const PageMap& map, std::uint64_t page, RecordSet& records) {
    SNAP_TRY(records.add(file, map.record));
    switch (map.kinds[page]) {
      case wire::kRaw: return add_dictionary(file, region, block, map, records);
      case wire::kSame:
      case wire::kXor: return add_below(file, region, block * maps_.file(file).image->header().block_pages() + page, records);
      case wire::kCopy: return add_copy(file, region, block, map, page, records);
      default: return {};
    }
  }

  Result<void> add_any(unsigned file, std::size_t region, std::uint64_t page, RecordSet& records) {
    SNAP_TRY(step());
    const std::uint64_t block_pages = maps_.file(file).image->header().block_pages();
    SNAP_TRY_ASSIGN(map, maps_.get(file, region, page / block_pages, false));
    if (map == nullptr) return add_below(file, region, page, records);
    return add_page(file, region, page / block_pages, *map, page % block_pages, records);
  }

  Result<void> add_below(unsigned file, std::size_t region, std::uint64_t page, RecordSet& records) {
    const ParentLink* link = maps_.file(file).link;
    if (link == nullptr) return {};
    const auto there = link->counterpart(region);
    return there && page < page_count(link->counterpart_bytes(region)) ? add_any(file + 1, *there, page, records) : Result<void>();
  }

  Result<void> add_copy(unsigned file, std::size_t region, std::uint64_t block, const PageMap& map, std::uint64_t page, RecordSet& records) {
    const CopyRef source = map.copy(page);
    const unsigned in = file + (source.of_parent ? 1 : 0);
    const Image& image = *maps_.file(in).image;
    if (source.page.region >= image.catalog().regions.size() || source.page.page >= page_count(image.size(source.page.region))) {
      return of_ancestor(corrupt(map.record.offset, "a copy of a page outside its region", source.page.page), file);
    }
    if (source.of_parent) return add_any(in, source.page.region, source.page.page, records);
    const std::uint64_t source_block = source.page.page / image.header().block_pages();
    if (source.page.region == region && source_block == block) return add_dictionary(file, region, block, map, records);
    SNAP_TRY(step());
    SNAP_TRY_ASSIGN(other, maps_.get(file, source.page.region, source_block, false));
    if (other == nullptr) return of_ancestor(corrupt(map.record.offset, "a copy of a page in a block without a record", source.page.page), file);
    SNAP_TRY(records.add(file, other->record));
    return add_dictionary(file, source.page.region, source_block, *other, records);
  }

  /// The parent's pages over which a block's are compressed.
  Result<void> add_dictionary(unsigned file, std::size_t region, std::uint64_t block, const PageMap& map, RecordSet& records) {
    if (!map.over_parent) return {};
    for (const Dictionary& known : dictionaries_) {
      if (known.file == file && known.record == map.record.offset) return add(known.records, records);
    }
    Dictionary found{file, map.record.offset, {}};
    const std::uint64_t first = block * maps_.file(file).image->header().block_pages();
    for (const std::uint64_t page : map.named) SNAP_TRY(add_below(file, region, page, found.records));
    for (std::uint64_t page = 0; page < map.kinds.size(); ++page) SNAP_TRY(add_below(file, region, first + page, found.records));
    SNAP_TRY(found.records.settle());
    SNAP_TRY(add(found.records, records));
    dictionaries_.push_back(std::move(found));
    if (dictionaries_.size() > kDictionaries) dictionaries_.pop_front();
    return {};
  }

  Result<void> add(const RecordSet& from, RecordSet& records) {
    SNAP_TRY(step(from.size()));
    return records.add(from);
  }

  struct Dictionary {
    unsigned file = 0;
    std::uint64_t record = 0;
    RecordSet records;
  };
  PageMaps maps_;
  std::list<Dictionary> dictionaries_;
  ReadCost sum_;
  std::uint64_t steps_ = 0;
};

}  // namespace

Result<ReadCost> read_cost(Reader& reader, std::size_t region) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  return CostWalk().run(reader, region);
}

}  // namespace snap
