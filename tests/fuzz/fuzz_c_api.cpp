// SPDX-License-Identifier: Apache-2.0
// Calls of the C interface in any order. A snapshot that was finished gives back what the calls before said, and is clean.
#include <cstring>
#include <memory>
#include <vector>

#include "fuzz/judge.h"
#include "snap/snap.h"

using namespace snap::test;

namespace {

constexpr std::size_t kMostBytes = 1 << 20;  // of all regions

struct Region {
  std::string name;
  std::uint64_t announced = SNAP_UNKNOWN_SIZE;
  std::vector<unsigned char> bytes;
};

class Calls {
 public:
  Calls(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  ~Calls() {
    snap_free_parent_pages(pages_);
    snap_close_image(held_);
  }

  void run() {
    const snap_sink sink{sizeof sink, 0, &file_, take};
    snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
    const unsigned first = next();
    options.codec = first % 4;
    choose_parent(first / 4 % 8);
    options.parent = parent_;
    options.parent_pages = pages_;
    const std::string hint(first / 32, first / 64 % 2 == 0 ? 'h' : '.');
    if (first / 32 != 0) options.parent_hint = hint.c_str();
    options.block_size = 1u << (13 + next() % 11);
    options.level = next() % 4 == 0 ? static_cast<int>(next()) - 128 : SNAP_LEVEL_DEFAULT;
    if (options.codec == SNAP_CODEC_ZSTD && options.level > 9) options.level = 9;  // higher ones are slow, not different
    options.dedup = next() % 4 == 0;
    options.threads = next() % 8 == 1 ? 2 : 0;
    snap_writer* writer = nullptr;
    snap_error error;
    if (snap_create_writer_sink(&sink, &options, &writer, &error) != SNAP_OK) return;
    while (left_ != 0 && call(writer)) {
    }
    snap_free_writer(writer);
    if (finished_) read_back();
  }

 private:
  static int take(void* to, const void* bytes, std::size_t length) {
    auto& file = *static_cast<std::vector<unsigned char>*>(to);
    file.insert(file.end(), static_cast<const unsigned char*>(bytes), static_cast<const unsigned char*>(bytes) + length);
    return 0;
  }
  static int size_of(void* from, std::uint64_t* size) {
    *size = static_cast<std::vector<unsigned char>*>(from)->size();
    return 0;
  }
  static int read_at(void* from, std::uint64_t offset, void* buffer, std::size_t length, std::size_t* done) {
    const auto& file = *static_cast<std::vector<unsigned char>*>(from);
    *done = offset >= file.size() ? 0 : std::min<std::size_t>(length, file.size() - offset);
    if (*done != 0) std::memcpy(buffer, file.data() + offset, *done);
    return 0;
  }

  /// A snapshot of regions that these calls are likely to make, too.
  static snap_image* base() {
    struct Base {
      Base() {
        const snap_sink sink{sizeof sink, 0, &file, take};
        snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
        options.codec = SNAP_CODEC_STORE;
        options.block_size = 1u << 14;
        snap_writer* writer = nullptr;
        demand(snap_create_writer_sink(&sink, &options, &writer, nullptr) == SNAP_OK, "no writer");
        for (const char name : {'a', 'b', 'c'}) {
          snap_region info = SNAP_REGION_INIT;
          const char text[] = {name, 0};
          info.name = text;
          std::vector<unsigned char> bytes(name == 'b' ? 100000 : 30000, static_cast<unsigned char>(name));
          for (std::size_t at = 0; at < bytes.size(); at += 97) bytes[at] = static_cast<unsigned char>(at / 4096);
          demand(snap_begin_region(writer, &info, SNAP_ASCENDING, nullptr) == SNAP_OK, "no region");
          demand(snap_write_bytes(writer, bytes.data(), bytes.size(), nullptr) == SNAP_OK && snap_end_region(writer, nullptr) == SNAP_OK, "no bytes");
        }
        demand(snap_finish_writer(writer, nullptr, nullptr) == SNAP_OK, "no base");
        snap_free_writer(writer);
        const snap_source source{sizeof source, 0, &file, size_of, read_at};
        demand(snap_open_image_source(&source, nullptr, &image, nullptr) == SNAP_OK, "a base that does not open");
      }
      std::vector<unsigned char> file;
      snap_image* image = nullptr;
    };
    static Base one;
    return one.image;
  }

  void choose_parent(unsigned how) {
    if (how == 0) return;
    parent_ = base();
    if ((how & 2) != 0) {
      demand(snap_hold_image(base(), nullptr, &held_, nullptr) == SNAP_OK, "an image that cannot be held");
      parent_ = held_;
    }
    if ((how & 4) != 0) demand(snap_index_parent(parent_, nullptr, &pages_, nullptr) == SNAP_OK, "an image that cannot be indexed");
  }

  unsigned next() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::uint64_t number() { return next() | static_cast<std::uint64_t>(next()) << 8; }

  // False where nothing more is to be called: every error is lasting.
  bool call(snap_writer* writer) {
    snap_error error;
    switch (next() % 8) {
      case 0: {
        const std::string key(1, static_cast<char>(next()));
        return snap_set_metadata(writer, key.c_str(), "value", &error) == SNAP_OK;
      }
      case 1: {
        snap_region info = SNAP_REGION_INIT;
        info.kind = 1 + next() % 2;
        regions_.push_back({std::string(1 + next() % 3, static_cast<char>('a' + next() % 26)), SNAP_UNKNOWN_SIZE, {}});
        info.name = regions_.back().name.c_str();
        if (next() % 2 == 0) info.size = regions_.back().announced = number();
        return snap_begin_region(writer, &info, next() % 3, &error) == SNAP_OK;
      }
      case 2:
      case 3: {
        std::vector<unsigned char> bytes(number(), static_cast<unsigned char>(next()));
        for (std::size_t at = 0; at < bytes.size(); at += 97) bytes[at] = static_cast<unsigned char>(next());
        if (snap_write_bytes(writer, bytes.data(), bytes.size(), &error) != SNAP_OK) return false;
        regions_.back().bytes.insert(regions_.back().bytes.end(), bytes.begin(), bytes.end());
        return taken(bytes.size());
      }
      case 4: {
        const std::uint64_t length = number();
        if (snap_skip_bytes(writer, length, &error) != SNAP_OK) return false;
        regions_.back().bytes.resize(regions_.back().bytes.size() + length);
        return taken(length);
      }
      case 5: {
        const std::uint64_t offset = number();
        const std::vector<unsigned char> bytes(number() % 20000, static_cast<unsigned char>(next()));
        if (snap_write_bytes_at(writer, offset, bytes.data(), bytes.size(), &error) != SNAP_OK) return false;
        auto& all = regions_.back().bytes;
        all.resize(std::max<std::size_t>(all.size(), offset + bytes.size()));
        std::copy(bytes.begin(), bytes.end(), all.begin() + static_cast<std::ptrdiff_t>(offset));
        return taken(bytes.size());
      }
      case 6:
        if (snap_end_region(writer, &error) != SNAP_OK) return false;
        if (regions_.back().announced != SNAP_UNKNOWN_SIZE) regions_.back().bytes.resize(regions_.back().announced);
        return true;
      default:
        finished_ = snap_finish_writer(writer, nullptr, &error) == SNAP_OK;
        return false;
    }
  }

  bool taken(std::uint64_t bytes) {
    bytes_ += bytes;
    return bytes_ < kMostBytes;
  }

  void read_back() {
    const snap_source source{sizeof source, 0, &file_, size_of, read_at};
    snap_error error;
    snap_check_result checked = SNAP_CHECK_RESULT_INIT;
    snap_check_options check_options = SNAP_CHECK_OPTIONS_INIT;
    check_options.parent = parent_;
    demand(snap_check_source(&source, &check_options, &checked, &error) == SNAP_OK && checked.damage_count == 0 && checked.content_compared == 1, "a new snapshot that is not clean");
    snap_parent named = SNAP_PARENT_INIT;
    demand(snap_read_parent_source(&source, &named, &error) == SNAP_OK && named.has_parent == (parent_ != nullptr) && named.depth == (parent_ != nullptr), "another parent");
    snap_image* image = nullptr;
    snap_open_options open_options = SNAP_OPEN_OPTIONS_INIT;
    open_options.parent = parent_;
    demand(snap_open_image_source(&source, &open_options, &image, &error) == SNAP_OK, "a new snapshot that does not open");
    demand(snap_count_regions(image) == regions_.size(), "another number of regions");
    for (std::uint32_t i = 0; i < regions_.size(); ++i) {
      const auto& expected = regions_[i].bytes;
      snap_region info = SNAP_REGION_INIT;
      demand(snap_get_region(image, i, &info, &error) == SNAP_OK && info.size == expected.size() && regions_[i].name == info.name, "another region");
      std::vector<unsigned char> bytes(expected.size());
      demand(snap_read_region(image, i, 0, bytes.data(), bytes.size(), &error) == SNAP_OK && bytes == expected, "other bytes");
      read_changes(image, i, expected);
    }
    snap_image* held = nullptr;
    demand(snap_hold_image(image, nullptr, &held, &error) == SNAP_OK, "a new snapshot that cannot be held");
    for (std::uint32_t i = 0; i < regions_.size(); ++i) {
      std::vector<unsigned char> bytes(regions_[i].bytes.size());
      demand(snap_read_region(held, i, 0, bytes.data(), bytes.size(), &error) == SNAP_OK && bytes == regions_[i].bytes, "other bytes held");
    }
    snap_close_image(held);
    snap_close_image(image);
  }

  void read_changes(snap_image* image, std::uint32_t region, const std::vector<unsigned char>& expected) {
    snap_error error;
    std::uint64_t changed = 0;
    const auto add = [](void* sum, std::uint64_t, std::uint64_t length, std::uint32_t) {
      *static_cast<std::uint64_t*>(sum) += length;
      return 0;
    };
    demand(snap_visit_changes(image, region, add, &changed, &error) == SNAP_OK && changed <= expected.size(), "changes that cannot be told");
    std::vector<unsigned char> memory(expected.size());
    if (parent_ == nullptr) {
      demand(snap_apply_changes(image, region, memory.data(), memory.size(), nullptr, &error) == SNAP_E_INVALID_ARGUMENT, "changes without a parent");
      return;
    }
    snap_region info = SNAP_REGION_INIT;
    demand(snap_get_region(image, region, &info, &error) == SNAP_OK, "no region");
    std::uint32_t number = 0;
    if (snap_find_region(parent_, info.kind, info.name, &number, &error) == SNAP_OK) {
      snap_region below = SNAP_REGION_INIT;
      demand(snap_get_region(parent_, number, &below, &error) == SNAP_OK, "no region");
      const std::size_t there = static_cast<std::size_t>(std::min<std::uint64_t>(memory.size(), below.size));
      demand(snap_read_region(parent_, number, 0, memory.data(), there, &error) == SNAP_OK, "a parent that cannot be read");
    }
    demand(snap_apply_changes(image, region, memory.data(), memory.size(), nullptr, &error) == SNAP_OK && memory == expected, "changes applied to other bytes");
  }

  const std::uint8_t* data_;
  std::size_t left_;
  snap_image* parent_ = nullptr;
  snap_image* held_ = nullptr;
  snap_parent_pages* pages_ = nullptr;
  std::vector<unsigned char> file_;
  std::vector<Region> regions_;
  std::uint64_t bytes_ = 0;
  bool finished_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Calls(data, size).run();
  return 0;
}
