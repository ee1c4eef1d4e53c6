"""Questions with and without an answer, over documents written for this purpose. Nothing here is anybody's text.

The unanswerable ones are of two kinds: about something else altogether, and near misses that share most of their words
with a document which still does not answer them.
"""

from __future__ import annotations

KALE = "Effects of cold storage on the vitamin C content of kale"
DOCUMENTS: dict[str, tuple[str, ...]] = {
    "Employee handbook": (
        (
            "Working time\n\nFull-time employees work 38.5 hours a week. Core hours are from 10:00 to 15:00, "
            "when everybody should be reachable. Overtime must be approved by the team lead in advance and is "
            "compensated with time off within the same quarter."
        ),
        (
            "Leave\n\nEvery employee is entitled to 28 days of paid vacation a year. Unused days can be carried "
            "over until 31 March of the following year; after that they expire. Requests go through the staff "
            "portal at least two weeks ahead. Parental leave is granted for up to 14 months."
        ),
        (
            "Travel and expenses\n\nTrains are booked in second class, flights in economy. Receipts must be "
            "handed in within 30 days of the trip. The daily allowance for meals is 28 euros inside the country "
            "and 45 euros abroad. Taxi rides are reimbursed only after 22:00 or with heavy luggage."
        ),
        (
            "Information security\n\nLaptops are encrypted and locked when unattended. Passwords have at least "
            "14 characters and are kept in the company's password manager. A lost device must be reported to "
            "the service desk within four hours. Private cloud storage must not be used for customer data."
        ),
    ),
    "Annual report of Larkfield Instruments": (
        (
            "Letter to shareholders\n\nThe past year was the strongest in the history of Larkfield Instruments. "
            "Revenue grew by 11.4 percent to 482.7 million dollars, driven by demand for laboratory balances in "
            "Asia. Operating margin improved from 13.1 to 15.6 percent. We opened a second factory in Penang in "
            "May."
        ),
        (
            "Risk factors\n\nA large part of our sensors is purchased from a single supplier in Taiwan. An "
            "interruption of its deliveries could delay our shipments for several months. Currency fluctuations "
            "affect our results because 61 percent of sales are invoiced in euros. We are exposed to cyber "
            "attacks."
        ),
        "Segment | Revenue | Employees\nBalances | 291.3 | 1,140\nThermometers | 118.9 | 655\nServices | 72.5 | 402",
        (
            "Governance\n\nThe board of directors has nine members, six of whom are independent. Helena Voss "
            "has chaired the board since 2019. Marcus Oyelaran succeeded Ingrid Tall as chief executive officer "
            "on 1 July. The audit committee met seven times. The auditor is Brandt & Holloway LLP."
        ),
        (
            "Dividend\n\nThe board proposes a dividend of 1.85 dollars a share, payable on 12 June. The company "
            "bought back 900,000 of its own shares at an average price of 64 dollars."
        ),
    ),
    "Aurora 3 dishwasher: instructions for use": (
        (
            "Installation\n\nConnect the inlet hose to a cold water tap with a pressure between 0.5 and 8 bar. "
            "The appliance must stand level; turn the feet to adjust it. Keep the packaging away from children "
            "because of the danger of suffocation."
        ),
        (
            "Programmes\n\nThe Eco programme takes 3 hours 20 minutes and uses 9.5 litres of water. Quick 30 is "
            "for lightly soiled glasses and does not dry. Intensive washes at 70 degrees and is suited to pots "
            "with burnt-on food."
        ),
        (
            "Care\n\nClean the filter once a week under running water. Refill special salt when the lamp with "
            "the S lights up. Run the machine empty with a cleaner every three months to remove grease and "
            "limescale."
        ),
        (
            "Troubleshooting\n\nE15 means that water has leaked into the base: close the tap and call the "
            "customer service. E24 means that the waste water does not drain: check whether the hose is bent or "
            "the pump is blocked. If dishes stay wet, add rinse aid."
        ),
        (
            "Guarantee\n\nThe manufacturer gives a guarantee of 24 months from the date of purchase. It does "
            "not cover damage caused by limescale, frost or improper use."
        ),
    ),
    "Minutes of the allotment club, 14 September": (
        (
            "Present: Rosa Lindqvist (chair), Tom Abara, Wei Chen, Farida Haddad. Apologies: Pieter de Boer. "
            "The minutes of the last meeting were approved. The treasurer reported a balance of 3,412.50 "
            "pounds."
        ),
        (
            "The members agreed to replace the water pump before winter; Tom will ask for three quotes. The "
            "compost area will move to the northern corner because neighbours complained about the smell. Wei "
            "offered to repair the greenhouse door."
        ),
        (
            "The harvest party is on Saturday 12 October at four in the afternoon. Everybody brings a dish. The "
            "next meeting is on 9 November in the community hall. Plot 17 is free and goes to the first person "
            "on the waiting list."
        ),
    ),
    "RE: delivery of the pallets": (
        (
            "Hi Jonas,\n\nthe truck broke down near Kassel, so the twelve pallets will arrive on Thursday "
            "morning instead of Tuesday. The driver will call you an hour before. Please make sure that the "
            "loading ramp at gate 4 is free. The invoice stays the same; we will take 5 percent off your next "
            "order as an apology.\n\nBest wishes\nAmelie Fournier\nNordcargo Logistics"
        ),
    ),
    KALE: (
        (
            "We measured ascorbic acid in kale leaves kept at 1, 4 and 10 degrees Celsius for up to 21 days. "
            "Losses after two weeks were 8, 19 and 47 percent. Blanching before storage reduced enzyme activity "
            "and halved the loss. The effect of light was not significant."
        ),
        (
            "Leaves were harvested from three farms in October. Ascorbic acid was determined by liquid "
            "chromatography. Each treatment was repeated four times. A limitation of the study is that only one "
            "cultivar was tested."
        ),
    ),
    "Visiting Sarnholm": (
        (
            "The old town of Sarnholm stands on three islands linked by eleven bridges. The cathedral was begun "
            "in 1287 and its tower can be climbed between April and October. The maritime museum shows a "
            "merchant ship raised from the harbour in 1961."
        ),
        (
            "Getting there\n\nThe airport lies 14 kilometres south of the centre; bus 62 takes 25 minutes and "
            "costs 4.20 crowns. Ferries to the outer islands leave from the east quay every two hours. Parking "
            "in the old town is reserved for residents."
        ),
        (
            "Eating\n\nTry smoked perch with dill potatoes in one of the huts by the harbour. The covered "
            "market is open from Tuesday to Saturday. Tap water is safe to drink. A tip of ten percent is "
            "usual."
        ),
    ),
    "quill: a small static site generator": (
        (
            "# Installation\n\nquill needs Python 3.10 or newer. Install it with `pip install quill-site`. On "
            "Windows, long paths must be enabled. Run `quill new blog` to create a project."
        ),
        (
            "# Configuration\n\nSettings live in `quill.toml`. `output` names the folder for the generated "
            "pages and defaults to `public`. Set `drafts = true` to include unpublished posts. Themes are "
            "searched in `themes/`."
        ),
        (
            "# Deployment\n\n`quill build --minify` writes the site; copy the output folder to any web server. "
            "`quill serve` starts a preview on port 4100 and reloads the page when a file changes. The project "
            "is released under the MIT licence."
        ),
    ),
    "Lease agreement": (
        (
            "The landlord lets the flat at 8 Mill Lane, second floor, to the tenant from 1 February. The "
            "monthly rent is 940 pounds, due on the third working day of each month. The deposit is two months' "
            "rent and is returned within 30 days of the end of the tenancy."
        ),
        (
            "Either party may end this agreement with three months' notice in writing. Pets other than small "
            "caged animals need the landlord's consent. The tenant must not sublet the flat. Smoking is "
            "forbidden in all rooms."
        ),
    ),
    "Migration of the barn swallow": (
        (
            "Barn swallows breed across the northern hemisphere and winter in southern Africa, South America "
            "and South Asia. Birds from Britain cross the Sahara and cover about 300 kilometres a day. Many die "
            "of hunger or in storms on the way. They return to the same nest site each spring."
        ),
        (
            "Swallows drink and feed in flight, catching flies and other insects. A pair raises two broods of "
            "four to five chicks. Numbers have fallen since 1970 because modern barns offer few openings and "
            "insects are scarcer."
        ),
    ),
    "results.csv": (
        (
            "Club | City | Points | Goals\nRiver Otters | Halden | 61 | 74\nNorth Foxes | Umea | 55 | 58\nIron "
            "Bears | Tampere | 49 | 66\nHarbour Gulls | Esbjerg | 37 | 41"
        ),
    ),
    "Sourdough bread": (
        (
            "Mix 500 g of flour with 350 g of water and let it rest for 40 minutes. Add 100 g of ripe starter "
            "and 10 g of salt. Fold the dough four times during the first two hours. Let it rise overnight in "
            "the refrigerator."
        ),
        (
            "Heat the oven with a cast-iron pot to 250 degrees. Bake the loaf covered for 20 minutes and "
            "uncovered for another 25 at 220 degrees. The bread is done when it sounds hollow. Let it cool "
            "before cutting."
        ),
    ),
}

ANSWERABLE: tuple[tuple[str, str], ...] = (
    ("How many vacation days do employees get per year?", "Employee handbook"),
    ("Until when can unused holidays be carried over?", "Employee handbook"),
    ("How long does a password have to be?", "Employee handbook"),
    ("What is the meal allowance abroad?", "Employee handbook"),
    ("When may I take a taxi at the company's expense?", "Employee handbook"),
    ("How soon must a lost laptop be reported?", "Employee handbook"),
    ("What was Larkfield's revenue?", "Annual report of Larkfield Instruments"),
    ("Who is the CEO of Larkfield Instruments?", "Annual report of Larkfield Instruments"),
    ("Who chairs the board?", "Annual report of Larkfield Instruments"),
    ("Where was the second factory opened?", "Annual report of Larkfield Instruments"),
    ("How many employees work in the thermometer segment?", "Annual report of Larkfield Instruments"),
    ("What dividend does the board propose?", "Annual report of Larkfield Instruments"),
    ("Which supply risks does Larkfield face?", "Annual report of Larkfield Instruments"),
    ("Who audits the company?", "Annual report of Larkfield Instruments"),
    ("What does error E24 mean?", "Aurora 3 dishwasher: instructions for use"),
    ("How often should the dishwasher filter be cleaned?", "Aurora 3 dishwasher: instructions for use"),
    ("How much water does the Eco programme consume?", "Aurora 3 dishwasher: instructions for use"),
    ("What can I do if the dishes remain wet?", "Aurora 3 dishwasher: instructions for use"),
    ("How long is the warranty of the Aurora 3?", "Aurora 3 dishwasher: instructions for use"),
    ("What water pressure does the dishwasher need?", "Aurora 3 dishwasher: instructions for use"),
    ("When is the harvest party?", "Minutes of the allotment club, 14 September"),
    ("Why is the compost area being moved?", "Minutes of the allotment club, 14 September"),
    ("Who will fix the greenhouse door?", "Minutes of the allotment club, 14 September"),
    ("How much money does the allotment club have?", "Minutes of the allotment club, 14 September"),
    ("When will the pallets arrive?", "RE: delivery of the pallets"),
    ("Why was the delivery delayed?", "RE: delivery of the pallets"),
    ("What discount did Nordcargo offer?", "RE: delivery of the pallets"),
    (
        "How much vitamin C is lost at 10 degrees after two weeks?",
        "Effects of cold storage on the vitamin C content of kale",
    ),
    ("How was ascorbic acid measured?", KALE),
    ("Does blanching help to keep vitamin C?", KALE),
    ("How do I get from the airport to the centre of Sarnholm?", "Visiting Sarnholm"),
    ("When was the cathedral built?", "Visiting Sarnholm"),
    ("Can one drink the tap water in Sarnholm?", "Visiting Sarnholm"),
    ("Which port does quill serve use?", "quill: a small static site generator"),
    ("How do I include drafts in the generated site?", "quill: a small static site generator"),
    ("Which licence does quill have?", "quill: a small static site generator"),
    ("How high is the rent of the flat?", "Lease agreement"),
    ("What is the notice period for the lease?", "Lease agreement"),
    ("Are pets allowed in the flat?", "Lease agreement"),
    ("Where do barn swallows spend the winter?", "Migration of the barn swallow"),
    ("Why has the number of swallows declined?", "Migration of the barn swallow"),
    ("How many goals did the Iron Bears score?", "results.csv"),
    ("Which city do the River Otters come from?", "results.csv"),
    ("How much salt goes into the bread?", "Sourdough bread"),
    ("At what temperature is the loaf baked?", "Sourdough bread"),
    # in other words than the document's
    ("How many hours make a full working week?", "Employee handbook"),
    ("Between which hours must staff be available?", "Employee handbook"),
    ("How is extra work made up for?", "Employee handbook"),
    ("How far in advance do I have to ask for time off?", "Employee handbook"),
    ("How long can a new father stay at home?", "Employee handbook"),
    ("Which class may I travel by rail?", "Employee handbook"),
    ("Within how many days do I submit my travel bills?", "Employee handbook"),
    ("May I put client files on my own cloud drive?", "Employee handbook"),
    ("By how much did sales increase?", "Annual report of Larkfield Instruments"),
    ("What profit margin was reached?", "Annual report of Larkfield Instruments"),
    ("In which country is the only sensor supplier?", "Annual report of Larkfield Instruments"),
    ("What part of the turnover is billed in euros?", "Annual report of Larkfield Instruments"),
    ("How many people are on the board?", "Annual report of Larkfield Instruments"),
    ("Who was the chief executive before Marcus Oyelaran?", "Annual report of Larkfield Instruments"),
    ("How many of its shares did Larkfield buy back?", "Annual report of Larkfield Instruments"),
    ("What did the services segment earn?", "Annual report of Larkfield Instruments"),
    ("When will shareholders be paid?", "Annual report of Larkfield Instruments"),
    ("How long does the economy programme run?", "Aurora 3 dishwasher: instructions for use"),
    ("What is wrong when E15 appears?", "Aurora 3 dishwasher: instructions for use"),
    ("Which programme is right for greasy pots?", "Aurora 3 dishwasher: instructions for use"),
    ("How often do I have to run the empty machine with a cleaner?", "Aurora 3 dishwasher: instructions for use"),
    ("Does the guarantee pay for frost damage?", "Aurora 3 dishwasher: instructions for use"),
    ("Who could not come to the allotment meeting?", "Minutes of the allotment club, 14 September"),
    ("When do the club members meet again?", "Minutes of the allotment club, 14 September"),
    ("Which plot has nobody at present?", "Minutes of the allotment club, 14 September"),
    ("Who is getting offers for the new pump?", "Minutes of the allotment club, 14 September"),
    ("Which gate must be kept clear for the lorry?", "RE: delivery of the pallets"),
    ("How many pallets are on their way?", "RE: delivery of the pallets"),
    ("What effect did light have on the leaves?", KALE),
    ("What is a weakness of the kale study?", KALE),
    ("From how many farms did the kale come?", KALE),
    ("How many bridges connect the islands of the old town?", "Visiting Sarnholm"),
    ("What does the bus from the airport cost?", "Visiting Sarnholm"),
    ("On which days is the market hall open?", "Visiting Sarnholm"),
    ("From when does the church in Sarnholm date?", "Visiting Sarnholm"),
    ("Which Python version do I need for quill?", "quill: a small static site generator"),
    ("Where does quill write its pages?", "quill: a small static site generator"),
    ("How much is the security deposit?", "Lease agreement"),
    ("On which floor is the apartment?", "Lease agreement"),
    ("May I smoke in the bedroom?", "Lease agreement"),
    ("When is the monthly payment due?", "Lease agreement"),
    ("How far does a swallow fly in a day?", "Migration of the barn swallow"),
    ("How many broods does a pair have?", "Migration of the barn swallow"),
    ("What do swallows eat?", "Migration of the barn swallow"),
    ("How many points have the North Foxes?", "results.csv"),
    ("How long does the dough rest at first?", "Sourdough bread"),
    ("How do I know that the loaf is ready?", "Sourdough bread"),
    ("How hot must the pot be?", "Sourdough bread"),
)

UNANSWERABLE: tuple[str, ...] = (
    # about something else
    "What is the capital of Mongolia?",
    "Who wrote the opera Carmen?",
    "How does photosynthesis work?",
    "What is the boiling point of ethanol?",
    "Which protocol does Bluetooth use for pairing?",
    "How many moons does Jupiter have?",
    "What caused the fall of the Roman Empire?",
    "How do I change a bicycle tyre?",
    "What is the side effect of ibuprofen?",
    "Who won the world cup in 1998?",
    "How are mortgages taxed in Canada?",
    "What is the melting temperature of tungsten?",
    "Explain the difference between TCP and UDP.",
    "When was the Eiffel Tower completed?",
    "What is the plot of Hamlet?",
    "How does a nuclear reactor control its power?",
    "Which vaccine is given against measles?",
    "What is the population of Brazil?",
    "How do I train a puppy to sit?",
    "What is quantum entanglement?",
    "Which gearbox does the Falcon GT use?",
    "How tall is Mount Kilimanjaro?",
    # near misses
    "How much sick pay do employees receive?",
    "What is the company's policy on stock options?",
    "Who founded Larkfield Instruments?",
    "What was Larkfield's revenue in Brazil?",
    "How many factories does Larkfield have in Mexico?",
    "What does error E91 mean?",
    "How loud is the dishwasher in decibels?",
    "How much does the dishwasher cost?",
    "Who is the treasurer of the tennis club?",
    "What is the membership fee of the allotment club?",
    "What is the name of the truck driver?",
    "How much vitamin D does spinach contain?",
    "Where is the university of Sarnholm?",
    "Which hotel in Sarnholm has a swimming pool?",
    "Does quill support comments from Disqus?",
    "How do I write a plugin for quill in Rust?",
    "Who is the landlord's lawyer?",
    "How old do barn swallows get?",
    "What do penguins eat?",
    "How many spectators came to the Iron Bears' stadium?",
    "Who coaches the North Foxes?",
    "How many calories does the sourdough bread have?",
    "Which wine goes with smoked perch?",
    # one attribute away from what a document says
    "How many hours of overtime may be worked in a month?",
    "What is the daily meal allowance for weekends?",
    "Which password manager does the company use?",
    "What is the telephone number of the service desk?",
    "How much does the company pay for a taxi at most?",
    "Who approves parental leave?",
    "How many employees are on parental leave?",
    "What is the hotel allowance abroad?",
    "How long is the probation period?",
    "How many vacation days do interns get?",
    "What was the operating margin five years ago?",
    "How much did the factory in Penang cost?",
    "What is the name of the supplier in Taiwan?",
    "How many cyber attacks happened last year?",
    "What is the salary of Marcus Oyelaran?",
    "How old is Helena Voss?",
    "Why did Ingrid Tall leave?",
    "How many employees work in the factory in Penang?",
    "What was the dividend in the year before last?",
    "How many balances were sold in Asia?",
    "How many square metres does the second factory have?",
    "Which bank advises the audit committee?",
    "What is the net profit of the thermometer segment?",
    "How much does Brandt & Holloway charge?",
    "How many litres does the Intensive programme use?",
    "How long does Quick 30 take?",
    "What does error E07 mean?",
    "What is the weight of the Aurora 3?",
    "How wide is the dishwasher?",
    "What is the telephone number of the customer service?",
    "Which brand of rinse aid is recommended?",
    "How much electricity does the Eco programme need?",
    "What is the guarantee of the Aurora 5?",
    "How much will the new water pump cost?",
    "How long is the waiting list of the allotment club?",
    "What is the name of the neighbour who complained?",
    "How many people came to last year's harvest party?",
    "What is Pieter de Boer's telephone number?",
    "Where will the harvest party take place?",
    "How big is plot 17 in square metres?",
    "How much is the invoice for the pallets?",
    "What is in the pallets?",
    "What is the licence plate of the truck?",
    "How heavy are the pallets?",
    "How much vitamin C is lost at 20 degrees?",
    "How many cultivars will be tested next year?",
    "Who paid for the kale study?",
    "What was the loss of vitamin C after 30 days?",
    "Who designed the cathedral of Sarnholm?",
    "How high is the tower of the cathedral?",
    "What does the maritime museum cost?",
    "How much is a ticket for the ferry?",
    "How many people live in Sarnholm?",
    "What is the name of the merchant ship in the museum?",
    "Which bus goes to the east quay?",
    "Who wrote quill?",
    "Which port does quill build use?",
    "How many themes does quill come with?",
    "When was the first version of quill released?",
    "How much is the heating bill of the flat?",
    "How many rooms does the flat have?",
    "What is the landlord's name?",
    "How much is the rent of the parking space?",
    "How many tenants lived in the flat before?",
    "How heavy is a barn swallow?",
    "How many barn swallows died in storms in 1970?",
    "How fast does a swallow fly?",
    "How many goals did the River Otters concede?",
    "Which stadium do the Harbour Gulls play in?",
    "How many points did the Iron Bears have last season?",
    "What kind of flour is used for the bread?",
    "How much sugar goes into the dough?",
    "How much does a loaf cost?",
    "How long does the sourdough starter keep in the refrigerator?",
)
