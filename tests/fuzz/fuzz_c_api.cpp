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

  void run() {
    const snap_sink sink{sizeof sink, 0, &file_, take};
    snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
    options.codec = next() % 4;
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
    demand(snap_check_source(&source, nullptr, &checked, &error) == SNAP_OK && checked.damage_count == 0, "a new snapshot that is not clean");
    snap_image* image = nullptr;
    demand(snap_open_image_source(&source, nullptr, &image, &error) == SNAP_OK, "a new snapshot that does not open");
    demand(snap_count_regions(image) == regions_.size(), "another number of regions");
    for (std::uint32_t i = 0; i < regions_.size(); ++i) {
      const auto& expected = regions_[i].bytes;
      snap_region info = SNAP_REGION_INIT;
      demand(snap_get_region(image, i, &info, &error) == SNAP_OK && info.size == expected.size() && regions_[i].name == info.name, "another region");
      std::vector<unsigned char> bytes(expected.size());
      demand(snap_read_region(image, i, 0, bytes.data(), bytes.size(), &error) == SNAP_OK && bytes == expected, "other bytes");
    }
    snap_close_image(image);
  }

  const std::uint8_t* data_;
  std::size_t left_;
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
