//! What is known of the bits of a value, and how that changes on the way from one value to the next.

/// The floats that the bits of a value are read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    F32,
    F64,
    F32x4,
    F64x2,
}

impl Shape {
    /// The shape of a lane.
    fn lane(self) -> Self {
        match self {
            Self::F32 | Self::F32x4 => Self::F32,
            Self::F64 | Self::F64x2 => Self::F64,
        }
    }
}

/// The NaN that takes the place of any NaN. Canonicalized before a negation it would have been positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nan {
    pub(super) shape: Shape,
    pub(super) negative: bool,
}

#[cfg(test)]
impl Shape {
    pub(super) fn is_of_f32(self) -> bool {
        self.lane() == Self::F32
    }
}

impl Nan {
    /// The bits of a canonical NaN, in each lane.
    pub(super) fn bits(self) -> u64 {
        let (positive, sign): (u64, u64) = match self.shape.lane() {
            Shape::F32 | Shape::F32x4 => (0x7fc0_0000, 1 << 31),
            Shape::F64 | Shape::F64x2 => (0x7ff8_0000_0000_0000, 1 << 63),
        };
        if self.negative { positive | sign } else { positive }
    }
}

/// What is known of the bits of a value: a lattice, from the least to the most that they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No NaN, whatever its bits are read as. A value of one float is only ever read as that.
    Number,
    /// No NaN if its bits are read as this shape.
    NumberAs(Shape),
    /// Any NaN of it, read as this shape, is this one.
    Canonical(Nan),
    /// Any NaN of it, read as this shape, stands for this one: its bits depend on the processor until it is replaced.
    Fresh(Nan),
    /// The same bits on every processor, which must not change.
    Clean,
}

impl State {
    /// What is known of a value that is the one or the other. Where one has to keep its bits, so has the result.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Number, state) | (state, Self::Number) => state,
            (one, other) if one == other => one,
            (Self::NumberAs(shape), state @ (Self::Canonical(nan) | Self::Fresh(nan)))
            | (state @ (Self::Canonical(nan) | Self::Fresh(nan)), Self::NumberAs(shape))
                if shape == nan.shape =>
            {
                state
            }
            (Self::Canonical(one), Self::Fresh(other)) | (Self::Fresh(one), Self::Canonical(other)) if one == other => {
                Self::Fresh(one)
            }
            _ => Self::Clean,
        }
    }
}

/// How a value comes from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Its bits.
    Same,
    /// Its bits, after they were read as this shape.
    SameAs(Shape),
    /// Nothing but what any NaN gives: the bits are read as this shape, for arithmetic or a comparison.
    Read(Shape),
    /// With the other sign, lane by lane.
    Negated(Shape),
    /// Without a sign, lane by lane.
    Absolute(Shape),
    /// One or all lanes of this shape come from a float.
    ToLane(Shape),
    /// A lane of this shape.
    OfLane(Shape),
}

impl Via {
    /// What is known of a value that comes from one in this state, and whether that one's bits are seen: they are if a
    /// vector is read as another shape than the one in which its NaNs are known.
    pub(super) fn of(self, state: State) -> (State, bool) {
        let (read, written) = match self {
            Self::Same => return (state, false),
            Self::Read(shape) => {
                return (State::Number, matches!(state, State::Fresh(nan) if nan.shape != shape));
            }
            Self::SameAs(shape) | Self::Negated(shape) | Self::Absolute(shape) => (shape, shape),
            Self::ToLane(shape) => (shape.lane(), shape),
            Self::OfLane(shape) => (shape, shape.lane()),
        };
        match state {
            // All bits zero, in a vector: they stay zero where nothing else is done to them.
            State::Number if matches!(self, Self::SameAs(_)) => (State::Number, false),
            State::Number => (State::NumberAs(written), false),
            State::NumberAs(shape) if shape == read => (State::NumberAs(written), false),
            State::Canonical(nan) if nan.shape == read => (State::Canonical(self.nan(nan, written)), false),
            State::Fresh(nan) if nan.shape == read => (State::Fresh(self.nan(nan, written)), false),
            State::Fresh(_) => (State::Clean, true),
            State::NumberAs(_) | State::Canonical(_) | State::Clean => (State::Clean, false),
        }
    }

    /// What becomes of a NaN.
    fn nan(self, nan: Nan, shape: Shape) -> Nan {
        let negative = match self {
            Self::Negated(_) => !nan.negative,
            Self::Absolute(_) => false,
            _ => nan.negative,
        };
        Nan { shape, negative }
    }
}
